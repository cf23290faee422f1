"""gather_pooled: sum, mean and sqrtn over segments."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import ArrayShapeError, ConfigError, HashTable, RowIndexError
from tests.kernels.conftest import MakeTable, floats, ints
from tests.reference import ReferenceTable


@pytest.mark.parametrize(
    ("combiner", "expected"),
    [
        ("sum", [[11, 22], [0, 0], [4, 8]]),
        ("mean", [[5.5, 11], [0, 0], [1, 2]]),
        ("sqrtn", [[11 / 2**0.5, 22 / 2**0.5], [0, 0], [2, 4]]),
    ],
)
def test_by_hand(make_table: MakeTable, combiner: str, expected: list[list[float]]) -> None:
    table = make_table(dim=2)
    table.assign(ints(1, 2, 3), floats([1, 2], [10, 20], [4, 8]))
    # Four positions in the last segment, three of them without a row: they count.
    rows, offsets = ints(0, 1, -1, 2, -1, -1), ints(0, 2, 2, 6)
    out = np.full((3, 5), np.nan, np.float32)[:, 1:3]
    assert table.gather_pooled(rows, offsets, combiner=combiner, out=out) is out
    # One rounding of the root, one of the division.
    np.testing.assert_allclose(out, np.array(expected, np.float32), rtol=2e-7)


def test_weights(make_table: MakeTable) -> None:
    table = make_table(dim=2)
    table.assign(ints(1, 2), floats([1, 2], [10, 20]))
    rows, offsets, weights = ints(0, 1, 0, 1), ints(0, 2, 4), floats(3, 1, 0, 0)

    def pooled(combiner: str) -> np.ndarray:
        return table.gather_pooled(rows, offsets, combiner=combiner, weights=weights)

    assert_array_equal(pooled("sum"), floats([13, 26], [0, 0]))
    assert_array_equal(pooled("mean"), floats([3.25, 6.5], [0, 0]))
    root = np.sqrt(np.float32(10))
    assert_array_equal(
        pooled("sqrtn"), floats([np.float32(13) / root, np.float32(26) / root], [0, 0])
    )


def test_max_length_keeps_the_first_of_each_segment(make_table: MakeTable) -> None:
    table = make_table(dim=1)
    table.assign(ints(1, 2, 3), floats([1], [10], [100]))
    rows, offsets = ints(0, 1, 2, 2, -1, 0, 1), ints(0, 3, 4, 4, 7)

    def pooled(combiner: str, **settings: Any) -> list[float]:
        default = floats(1000)
        result = table.gather_pooled(rows, offsets, combiner=combiner, default=default, **settings)
        return [float(value) for value in result[:, 0]]

    assert pooled("sum", max_length=1) == [1, 100, 0, 1000]
    assert pooled("sum", max_length=2) == [11, 100, 0, 1001]
    assert pooled("mean", max_length=2) == [5.5, 100, 0, 500.5]
    weights = floats(3, 1, 7, 5, 1, 3, 9)
    assert pooled("mean", max_length=2, weights=weights) == [3.25, 100, 0, 250.75]
    for longest in (3, 4, 2**63 - 1, np.int64(3)):
        assert pooled("mean", max_length=longest) == pooled("mean")


@given(
    lengths=st.lists(st.integers(0, 5), max_size=8),
    combiner=st.sampled_from(["sum", "mean", "sqrtn"]),
    weighted=st.booleans(),
    max_length=st.none() | st.integers(1, 6),
    data=st.data(),
)
def test_equals_the_reference_bit_for_bit(
    lengths: list[int], combiner: str, weighted: bool, max_length: int | None, data: st.DataObject
) -> None:
    count = sum(lengths)
    rows = ints(*data.draw(st.lists(st.integers(-1, 9), min_size=count, max_size=count)))
    weights = None
    if weighted:
        number = st.floats(-2, 2, width=32)
        weights = floats(*data.draw(st.lists(number, min_size=count, max_size=count)))
        if combiner == "mean":
            weights = np.abs(weights)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    results = []
    for table in (HashTable(5), ReferenceTable(5)):
        table.find_or_insert(np.arange(10, dtype=np.int64))
        results.append(
            table.gather_pooled(
                rows, offsets, combiner=combiner, weights=weights, max_length=max_length
            )
        )
    assert_array_equal(results[0], results[1])


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([], r"offsets\[0\] is -1; offsets must start at 0"),
        ([1, 3], r"offsets\[0\] is 1; offsets must start at 0"),
        ([0, 2, 1, 3], r"offsets\[2\] is 1; .* never fall"),
        ([0, 2], r"offsets\[1\] is 2; .*end at len\(rows\) = 3"),
        ([0, 4], r"offsets\[1\] is 4; .*end at len\(rows\) = 3"),
        ([0, 2**62, 3], r"offsets\[1\] is 4611686018427387904"),
    ],
)
def test_bad_offsets(offsets: list[int], message: str) -> None:
    table = HashTable(2)
    rows = table.find_or_insert(ints(1, 2, 3))
    with pytest.raises(ArrayShapeError, match=message):
        table.gather_pooled(rows, offsets)


def test_bad_rows_and_combiner() -> None:
    table = HashTable(2)
    with pytest.raises(RowIndexError, match=r"rows\[0\] is 0, but table 'table' has rows 0 to -1"):
        table.gather_pooled([0], [0, 1])
    with pytest.raises(ConfigError, match="unknown combiner 'avg'; known: mean, sqrtn, sum"):
        table.gather_pooled([], [0], combiner="avg")
    with pytest.raises(ConfigError, match="did you mean 'mean'"):
        table.gather_pooled([], [0], combiner="Mean")
    for value in (0, -1, 2**63, 2.0, True):
        message = rf"table 'table': max_length is {value}; expected None or an integer, at least 1"
        with pytest.raises(ConfigError, match=message):
            table.gather_pooled([], [0], max_length=value)  # type: ignore[arg-type]  # on purpose
