"""Which dtypes are the same keys, and which may stand for which."""

from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from emberline.etl.dtypes import canonical, column_of, dtype_of, is_lossless
from emberline.etl.keys import shared_key_dtype

DTYPES: list[Any] = [
    pl.Int8(),
    pl.UInt64(),
    pl.Float32(),
    pl.Boolean(),
    pl.String(),
    pl.Binary(),
    pl.Date(),
    pl.Time(),
    pl.Null(),
    pl.Datetime("ms"),
    pl.Datetime("ns", "Europe/Berlin"),
    pl.Duration("us"),
    pl.Decimal(12, 3),
    pl.List(pl.Datetime("us")),
    pl.Array(pl.Float32(), 4),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_schema_spells_every_dtype(dtype: pl.DataType) -> None:
    assert dtype_of(column_of("x", dtype)) == dtype


def test_text_is_text() -> None:
    assert canonical(pl.List(pl.Enum(["a"]))) == pl.List(pl.String())
    assert canonical(pl.Array(pl.Categorical(), 2)) == pl.Array(pl.String(), 2)


@pytest.mark.parametrize(
    ("given", "fitted", "expected"),
    [
        (pl.Datetime("ms"), pl.Datetime("us"), True),
        (pl.Datetime("ns"), pl.Datetime("us"), False),
        (pl.Datetime("us", "UTC"), pl.Datetime("us"), False),
        (pl.Decimal(10, 1), pl.Decimal(10, 2), True),
        (pl.Decimal(10, 2), pl.Decimal(10, 1), False),
        (pl.List(pl.Int8()), pl.List(pl.Int64()), True),
        (pl.Array(pl.Int8(), 2), pl.List(pl.Int64()), True),
        (pl.Int64(), pl.List(pl.Int64()), False),
        (pl.Float64(), pl.Float32(), False),
        (pl.Float64(), pl.Int64(), False),
        (pl.Enum(["a"]), pl.String(), True),
        (pl.Date(), pl.String(), False),
    ],
)
def test_lossless(given: pl.DataType, fitted: pl.DataType, expected: bool) -> None:
    assert is_lossless(given, fitted) is expected


def test_shared_keys() -> None:
    assert shared_key_dtype(pl.UInt64(), pl.UInt8()) == pl.UInt64()
    assert shared_key_dtype(pl.UInt64(), pl.Int8()) is None
    assert shared_key_dtype(pl.Float32(), pl.Float64()) == pl.Float64()
    assert shared_key_dtype(pl.Float32(), pl.Int8()) is None
    assert shared_key_dtype(pl.Null(), pl.Date()) == pl.Date()


@pytest.mark.parametrize("dtype", DTYPES[:13], ids=str)
def test_a_workflow_carries_every_dtype(dtype: pl.DataType, tmp_path: Any) -> None:
    frame = pl.DataFrame({"x": pl.Series([None, None], dtype=dtype), "y": [1, 2]})
    workflow = nvt.Workflow((["x"] >> ops.Categorify()) + (["x"] >> ops.Rename(postfix="_")))
    out = workflow.fit_transform(frame)
    assert out["x"].to_list() == [1, 1]
    assert out["x_"].dtype == dtype
    workflow.save(tmp_path / "w")
    assert nvt.Workflow.load(tmp_path / "w").transform(frame).equals(out)


def test_selectors_add_up() -> None:
    both = nvt.ColumnSelector(["a", ["b", "c"]]) + nvt.ColumnSelector("*", tags=["user"]) + "d"
    assert both.names == ("a", "b", "c", "d")
    assert both.groups == (("b", "c"),)
    assert both.all
    assert both.tags == {"user"}
    assert ("z" + nvt.ColumnSelector("a")).names == ("z", "a")


def test_casts_of_lists_and_casts_that_fail() -> None:
    frame = pl.DataFrame({"l": [["x"]], "f": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2))})
    out = nvt.Workflow(["f"] >> ops.Cast("float32")).fit_transform(frame)
    assert out.schema["f"] == pl.Array(pl.Float32, 2)
    with pytest.raises(DataError, match="cannot be processed: conversion from"):
        nvt.Workflow(["l"] >> ops.Cast("int64")).fit_transform(frame)


def test_an_sql_expression_of_other_types() -> None:
    frame = pl.DataFrame({"s": ["a"], "n": [1]})
    with pytest.raises(DataError, match=r"Sql\('s \+ n > 3'\) cannot be computed from Schema"):
        nvt.Workflow(["s", "n"] >> ops.Sql("s + n > 3", name="x")).fit(frame)
    with pytest.raises(DataError, match="name must be a non-empty string"):
        ops.Sql("s", name="")
