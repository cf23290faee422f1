"""The native gather against plain indexing, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from emberline.dataloaders._gather import WindowOrder

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any)


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.view(np.uint8).reshape(len(array), -1) if array.size else empty(array)


def empty(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.empty((len(array), array.itemsize), np.uint8)


@given(
    sizes=SIZES,
    kind=st.sampled_from(["i1", "i2", "f4", "i8", "c16", "S3", "S7", "S24"]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_rows_come_in_the_order(
    sizes: list[int], kind: str, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    window = sum(sizes)
    values = rng.integers(0, 256, (window, np.dtype(kind).itemsize), np.uint8)
    order = rng.permutation(window)
    cuts = sorted(data.draw(st.lists(st.integers(0, window), min_size=1, max_size=4)))
    begins, ends = cuts, [*cuts[1:], window]
    outs = [
        np.full((e - b, values.shape[1]), 77, np.uint8) for b, e in zip(begins, ends, strict=True)
    ]
    chunks = np.split(values, np.cumsum(sizes)[:-1])
    WindowOrder(order).take_rows(chunks, begins, outs)
    for out, begin, end in zip(outs, begins, ends, strict=True):
        assert out.tolist() == values[order[begin:end]].tolist()


@given(
    rows=st.lists(st.lists(st.integers(-9, 9), max_size=4), min_size=1, max_size=30),
    kind=st.sampled_from(["i1", "i2", "f4", "i8"]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_lists_come_in_the_order(
    rows: list[list[int]], kind: str, seed: int, data: st.DataObject
) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))
    cut = data.draw(st.integers(0, len(rows)))
    skipped = data.draw(st.integers(0, 2))  # values before the first offset belong to nobody
    values, offsets = [], []
    for part in (rows[:cut], rows[cut:]):
        values.append(as_bytes(np.array([7] * skipped + [x for row in part for x in row], kind)))
        offsets.append(np.cumsum([skipped, *map(len, part)]))
    begin = data.draw(st.integers(0, len(rows)))
    native = WindowOrder(order)
    out_offsets = np.full(len(rows) - begin + 1, -1)
    native.take_offsets(offsets, [begin], [out_offsets])
    expected = [rows[i] for i in order[begin:]]
    assert out_offsets.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
    out = np.full(int(out_offsets[-1]), 55, kind)
    native.take_lists(values, offsets, [begin], [as_bytes(out)], [out_offsets])
    assert out.tolist() == [x for row in expected for x in row]


@pytest.mark.parametrize("order", [[0, 1, 3], [-1, 0, 1], [0, 2**32, 1], [2**63 - 1, 0, 1]])
def test_an_order_stays_in_its_window(order: list[int]) -> None:
    with pytest.raises(ValueError, match="the order names a row that is not in the window"):
        WindowOrder(np.array(order))


def test_what_would_leave_a_buffer_is_refused() -> None:
    order = WindowOrder(np.array([2, 0, 1]))
    three, two = np.zeros((3, 4), np.uint8), np.zeros((2, 4), np.uint8)
    with pytest.raises(ValueError, match="the chunks have not the window's rows"):
        order.take_rows([two], [0], [two])
    with pytest.raises(ValueError, match="rows of another size"):
        order.take_rows([three], [0], [np.zeros((2, 8), np.uint8)])
    for begin in (2, -1, 4, 2**62):
        with pytest.raises(ValueError, match="an output leaves the window"):
            order.take_rows([three], [begin], [two])
    with pytest.raises(ValueError, match="not a begin for each out"):
        order.take_rows([three], [0, 1], [two])
    strided: Any = np.zeros((2, 8), np.uint8)[:, ::2]
    with pytest.raises(TypeError, match="incompatible function arguments"):
        order.take_rows([three], [0], [strided])
    frozen = np.zeros((2, 4), np.uint8)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="incompatible function arguments"):
        order.take_rows([three], [0], [frozen])


def test_offsets_that_leave_their_values_are_refused() -> None:
    order = WindowOrder(np.array([1, 0]))
    values, room = np.zeros((4, 8), np.uint8), np.zeros((4, 8), np.uint8)
    good, out = np.array([0, 1, 4]), np.array([0, 3, 4])
    order.take_lists([values], [good], [0], [room], [out])
    for bad, message in (
        ([0, 1, 5], "offsets leave their values"),
        ([-1, 1, 4], "offsets leave their values"),
        ([0, 9, 4], "offsets do not ascend"),
        ([0, 1, 3], "has not the room of its lists"),
        ([0, 1], "the chunks have not the window's rows"),
    ):
        with pytest.raises(ValueError, match=message):
            order.take_lists([values], [np.array(bad)], [0], [room], [out])
    with pytest.raises(ValueError, match="has not the room of its lists"):
        order.take_lists([values], [good], [0], [room[:3]], [out])
