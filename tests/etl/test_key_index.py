"""Look-up of values and rows, against Python's dictionaries."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emberline.etl.combination_index import CombinationIndex
from emberline.etl.key_index import KeyIndex

EDGE = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**62, 2**63 - 1]
VALUES: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.Int64(), st.sampled_from(EDGE) | st.integers(-(2**63), 2**63 - 1)),
    (pl.Int64(), st.integers(-40, 40)),
    (pl.UInt64(), st.sampled_from([0, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)),
    (pl.Int8(), st.integers(-128, 127)),
    (pl.Float64(), st.floats(allow_nan=False).filter(lambda v: str(v) != "-0.0")),
    (pl.String(), st.text(max_size=3)),
    (pl.Binary(), st.binary(max_size=3)),
    (pl.Boolean(), st.booleans()),
]


def check(known: list[Any], asked: list[Any], dtype: pl.DataType) -> KeyIndex:
    index = KeyIndex(pl.Series(known, dtype=dtype))
    frame = pl.DataFrame({"x": pl.Series(asked, dtype=dtype)})
    positions = {value: i for i, value in enumerate(known)}
    found = frame.select(index.position(pl.col("x"))).to_series()
    assert found.dtype == pl.Int64
    pairs = zip(asked, found.to_list(), strict=True)
    assert all(position == positions.get(v) for v, position in pairs if v is not None)
    return index


@given(st.sampled_from(VALUES), st.data())
def test_values(case: tuple[pl.DataType, st.SearchStrategy[Any]], data: st.DataObject) -> None:
    dtype, values = case
    known = data.draw(st.lists(values, unique=True, max_size=30))
    check(known, [*known, *data.draw(st.lists(st.none() | values, max_size=10))], dtype)


@pytest.mark.parametrize("n", [0, 1, 2, 1023, 5000])
def test_dense_and_scattered_values(n: int) -> None:
    """Both tables, up to values outside of every known one."""
    dense = [3 * i - n for i in range(n)]
    assert check(dense, [*dense, *range(-2 * n - 3, 2 * n + 3), *EDGE], pl.Int64())._dense
    scattered = np.random.default_rng(n).integers(-(2**63), 2**63 - 1, n).tolist()
    index = check(scattered, [*scattered, *(v ^ 1 for v in scattered), *EDGE], pl.Int64())
    assert index._dense == (n < 2)


def test_many_values_in_one_slot() -> None:
    """Multiples of the inverse of the hash's factor, times a small number, share their slots."""
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    known = [int(np.uint64(inverse * i % 2**64).astype(np.int64)) for i in range(1, 2001)]
    index = check(known, [*known, *(v + 1 for v in known)], pl.Int64())
    assert not index._dense
    assert len({int(s) for s in index._slot(np.array(known))}) == 1


ROWS = st.tuples(
    st.none() | st.sampled_from("abc"),
    st.none() | st.integers(0, 3),
    st.none() | st.sampled_from([0.0, 1.5, float("inf")]),
)


@given(st.lists(ROWS, unique=True, max_size=20), st.lists(ROWS, max_size=20), st.integers(1, 3))
@settings(max_examples=60)
def test_rows(known: list[Any], asked: list[Any], width: int) -> None:
    known = list(dict.fromkeys(row[:width] for row in known))
    schema = list(zip("abc", (pl.String(), pl.Int64(), pl.Float64()), strict=True))[:width]
    index = CombinationIndex(pl.DataFrame(known, schema=schema, orient="row"))
    rows = [row[:width] for row in [*asked, *known]]
    frame = pl.DataFrame(rows, schema=schema, orient="row").lazy()
    found = frame.select(index.position([pl.col(n) for n, _ in schema])).collect(engine="streaming")
    positions = {row: i for i, row in enumerate(known)}
    assert found.to_series().to_list() == [positions.get(row) for row in rows]
