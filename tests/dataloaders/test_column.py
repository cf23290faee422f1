import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.dataloaders.column import Column, ColumnFormat
from emberline.errors import DataError


def decode(array: pa.Array, width: int | None = None) -> Column:
    form = ColumnFormat.from_arrow("c", array.type)
    return Column.decode(array, form if width is None else form.with_width(width))


def lists(column: Column) -> list[list[Any]]:
    assert column.offsets is not None
    return [part.tolist() for part in np.split(column.values, column.offsets[1:-1])]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (pa.int8(), "int8"),
        (pa.uint16(), "uint16"),
        (pa.int64(), "int64"),
        (pa.float16(), "float16"),
        (pa.float64(), "float64"),
        (pa.bool_(), "bool"),
    ],
)
def test_numbers(kind: pa.DataType, dtype: str) -> None:
    column = decode(pa.array([0, 1, 1]).cast(kind))
    assert column.values.dtype == np.dtype(dtype)
    assert column.values.tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_strings_are_objects(kind: pa.DataType) -> None:
    column = decode(pa.array(["a", "", "ü"], kind))
    assert column.values.dtype == object
    assert column.values.tolist() == ["a", "", "ü"]


def test_bytes_and_dictionaries() -> None:
    assert decode(pa.array([b"x", b""])).values.tolist() == [b"x", b""]
    column = decode(pa.array(["b", "a", "b"]).dictionary_encode())
    assert column.values.tolist() == ["b", "a", "b"]
    numbers = decode(pa.array([7, 5, 7]).dictionary_encode())
    assert numbers.values.tolist() == [7, 5, 7]
    assert numbers.values.dtype == np.int64


def test_dates() -> None:
    day = datetime.date(2020, 2, 29)
    assert decode(pa.array([day])).values == np.array(["2020-02-29"], "datetime64[D]")
    moment = datetime.datetime(2020, 2, 29, 1, 2, 3)
    for unit in ("s", "ms", "us", "ns"):
        column = decode(pa.array([moment], pa.timestamp(unit)))
        assert column.values.dtype == np.dtype(f"datetime64[{unit}]")
        assert column.values == np.array(["2020-02-29T01:02:03"], "datetime64[s]")
    span = decode(pa.array([datetime.timedelta(seconds=5)], pa.duration("ms")))
    assert span.values == np.array([5000], "timedelta64[ms]")


@given(
    rows=st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=4), max_size=12),
    large=st.booleans(),
    cut=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_ragged_with_null_and_empty_lists_and_slices(
    rows: list[list[int] | None], large: bool, cut: tuple[int, int]
) -> None:
    kind = pa.large_list(pa.int64()) if large else pa.list_(pa.int64())
    start, length = cut
    column = decode(pa.array(rows, kind).slice(start, length))
    assert column.offsets is not None
    assert column.offsets.dtype == np.int64
    assert column.offsets[0] == 0
    expected = [row or [] for row in rows[start : start + length]]
    assert len(column) == len(expected)
    assert [
        column.values[a:b].tolist()
        for a, b in zip(column.offsets[:-1], column.offsets[1:], strict=True)
    ] == expected


def test_a_null_list_that_spans_elements() -> None:
    array = pa.ListArray.from_arrays(
        pa.array([0, 2, 4, 5]), pa.array([1, 2, 3, 4, 5]), mask=pa.array([False, True, False])
    )
    assert lists(decode(array)) == [[1, 2], [], [5]]


def test_concat_shifts_offsets() -> None:
    parts = [decode(pa.array(rows)) for rows in ([[1], [2, 3]], [[4]], [[5, 6], [7]])]
    assert lists(Column.concat(parts)) == [[1], [2, 3], [4], [5, 6], [7]]
    assert Column.concat(parts[:1]) is parts[0]
    scalars = [decode(pa.array([1, 2])), decode(pa.array([3]))]
    assert Column.concat(scalars).values.tolist() == [1, 2, 3]


def test_fixed_lists() -> None:
    column = decode(pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)).slice(1))
    assert column.values.tolist() == [[3, 4]]
    declared = decode(pa.array([[1, 2], [3, 4]]), width=2)
    assert (declared.values.tolist(), declared.offsets) == ([[1, 2], [3, 4]], None)
    with pytest.raises(DataError, match="column 'c' has a list of length 3 at row 1; its lists"):
        decode(pa.array([[1, 2], [3, 4, 5]]), width=2)
    with pytest.raises(DataError, match="list of length 0 at row 0"):
        decode(pa.array([None, [3, 4]]), width=2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([1, None, None]), "column 'c' has 2 null values; .* Fill them in the workflow"),
        (pa.array([True, None]), "1 null values"),
        (pa.array(["a", None]), "1 null values"),
        (pa.array([[1], [None]]), "1 null values in its lists"),
        (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), "1 null lists"),
        (pa.array([[1, None]], pa.list_(pa.int64(), 2)), "1 null values in its lists"),
        (pa.array(["a", None]).dictionary_encode(), "1 null values"),
        (
            pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None])),
            "1 null values",
        ),
    ],
)
def test_nulls(array: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(array)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[[1]]]),
        pa.array([{"x": 1}]),
        pa.array([Decimal("1.5")]),
        pa.array([None]),
        pa.array([datetime.time(1, 2)]),
    ],
)
def test_types_without_a_place(array: pa.Array) -> None:
    with pytest.raises(DataError, match=r"column 'c' has type .*; a batch holds numbers"):
        decode(array)
