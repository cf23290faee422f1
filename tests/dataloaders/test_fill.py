import datetime
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emberline.dataloaders import Loader, MissingColumnError
from emberline.dataloaders.column import Column, ColumnFormat
from emberline.dataloaders.fill import fill_values
from emberline.errors import DataError

DAY = datetime.date(2020, 2, 29)


def filled(array: pa.Array, fill: Any, width: int | None = None) -> Column:
    value = fill_values({"c": fill}, {"c": array.type})["c"]
    form = ColumnFormat.from_arrow("c", array.type).with_fill(value)
    return Column.decode(array, form if width is None else form.with_width(width))


@pytest.mark.parametrize(
    ("array", "fill", "expected"),
    [
        (pa.array([1, None], pa.int8()), -7, [1, -7]),
        (pa.array([1, None]), np.int32(5), [1, 5]),
        (pa.array([0.5, None], pa.float32()), 2, [0.5, 2.0]),
        (pa.array([0.5, None], pa.float16()), 2.0, [0.5, 2.0]),
        (pa.array([True, None]), False, [True, False]),
        (pa.array(["a", None]), "", ["a", ""]),
        (pa.array(["a", None], pa.string_view()), "é", ["a", "é"]),
        (pa.array([b"a", None], pa.binary_view()), b"", [b"a", b""]),
        (pa.array([DAY, None]), DAY, [DAY, DAY]),
        (pa.array(["a", None]).dictionary_encode(), "x", ["a", "x"]),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([3, None])), 9, [3, 9]),
        (pa.array([[1, None], None], pa.list_(pa.int64(), 2)), 0, [[1, 0], [0, 0]]),
        (pa.array([[1], [2, None], None, []]).slice(1), 4, [2, 4]),
    ],
)
def test_a_value_stands_for_nulls(array: pa.Array, fill: Any, expected: list[Any]) -> None:
    column = filled(array, fill)
    assert column.values.tolist() == expected
    assert column.values.dtype == ColumnFormat.from_arrow("c", array.type).dtype


def test_nan_fills_a_float_column() -> None:
    values = filled(pa.array([None, 1.0]), math.nan).values
    assert math.isnan(values[0])
    assert values[1] == 1.0


def test_a_null_list_stays_empty_where_lists_are_ragged_and_is_a_row_where_they_are_not() -> None:
    array = pa.array([[1, None], None, [3, 4]])
    ragged = filled(array, 0)
    assert ragged.offsets is not None
    assert (ragged.values.tolist(), ragged.offsets.tolist()) == ([1, 0, 3, 4], [0, 2, 2, 4])
    assert filled(array, 7, width=2).values.tolist() == [[1, 7], [7, 7], [3, 4]]
    with pytest.raises(DataError, match="list of length 0 at row 1"):
        filled(pa.array([[1, None], [], None]), 7, width=2)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.int64(), 0.5),
        (pa.int64(), 1.0),
        (pa.int8(), 300),
        (pa.uint8(), -1),
        (pa.int64(), True),
        (pa.int64(), "0"),
        (pa.float32(), 2**40 + 1),
        (pa.float16(), 2**40),
        (pa.bool_(), 1),
        (pa.string(), b"x"),
        (pa.binary(), "x"),
        (pa.timestamp("us"), 0),
        (pa.date32(), datetime.datetime(2020, 1, 1)),
        (pa.list_(pa.int64()), "x"),
        (pa.int64(), None),
    ],
)
def test_a_value_that_the_column_cannot_hold(kind: pa.DataType, value: Any) -> None:
    with pytest.raises(DataError, match=r"for column 'c' of type .*, which cannot hold it exactly"):
        fill_values({"c": value}, {"c": kind})


def test_one_value_for_every_column_that_holds_it() -> None:
    types = {
        "i": pa.int32(),
        "f": pa.float32(),
        "b": pa.bool_(),
        "s": pa.string(),
        "l": pa.list_(pa.int64()),
        "t": pa.timestamp("us"),
    }
    assert fill_values(0, types) == {"i": 0, "f": 0, "l": 0}
    assert fill_values(0.5, types) == {"f": 0.5}
    assert fill_values("", types) == {"s": ""}
    assert fill_values(None, types) == {}
    with pytest.raises(DataError, match=r"fill is \[0\]; expected one number, string"):
        fill_values([0], types)


def test_the_loader_fills(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": pl.Series([1, None, 3], dtype=pl.Int32),
            "name": ["a", None, "c"],
            "tags": [[1, None], None, [2]],
            "pair": pl.Series([[1, 2], None, [3, None]], dtype=pl.Array(pl.Int64, 2)),
        }
    )
    frame.write_parquet(tmp_path / "1.parquet")
    for data in (tmp_path, frame):
        loader = Loader(data, 2, fill={"id": -1, "name": "?", "tags": 9, "pair": 0})
        first, second = (x for x, _ in loader)
        assert first["id"].tolist() == [1, -1]
        assert first["id"].dtype == np.int32
        assert first["name"].tolist() == ["a", "?"]
        assert (first["tags__values"].tolist(), first["tags__offsets"].tolist()) == (
            [1, 9],
            [0, 2, 2],
        )
        assert second["pair"].tolist() == [[3, 0]]
        with pytest.raises(DataError, match=r"'name' has 1 null values; .*fill=\{'name': value\}"):
            list(Loader(data, 2, fill=0))
        with pytest.raises(MissingColumnError, match=r"'nam', which is not loaded; did you mean"):
            Loader(data, 2, fill={"nam": "x"})


def test_columns_that_hold_nulls_in_one_file_only(tmp_path: Path) -> None:
    for number, values in enumerate(([1.5, 2.5], [None, 4.5])):
        table = pa.table({"a": pa.array(values, pa.float32())})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    batches = [x["a"].tolist() for x, _ in Loader(tmp_path, 3, fill=0.0)]
    assert list(itertools.chain(*batches)) == [1.5, 2.5, 0.0, 4.5]
