"""Rows of two-byte weights: exact reading, rounding to the nearest, sizes, settings."""

import json
from typing import Any, Literal

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from emberline.kernels import (
    SGD,
    Adagrad,
    Adam,
    ConfigError,
    Constant,
    HashTable,
    Normal,
    RowwiseAdagrad,
    TableRange,
    Uniform,
)
from tests import reference_rows
from tests.kernels.conftest import MakeTable, floats, ints

Half = Literal["bfloat16", "float16"]
HALVES: list[Half] = ["bfloat16", "float16"]
LARGEST = {name: kind[2] for name, kind in reference_rows.TYPES.items()}
DIMS = [1, 2, 3, 7, 8, 9, 16, 31, 64, 255, 256, 257, 4095, 4096]


def dtype(row_type: Half) -> Any:
    """NumPy's float16, or the bfloat16 that TensorFlow brings along."""
    if row_type == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def every_half(row_type: Half) -> NDArray[np.float32]:
    """All 65,536 bit patterns as float32, by another's conversion."""
    with np.errstate(invalid="ignore"):
        patterns: NDArray[Any] = np.arange(2**16, dtype=np.uint16).view(dtype(row_type))
        values: NDArray[np.float32] = patterns.astype(np.float32)
        return values


def stored(make_table: Any, row_type: Half, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `values` are after `assign`."""
    rows = values.reshape(-1, 64)
    table = make_table(dim=64, row_type=row_type)
    keys = np.arange(len(rows))
    table.assign(keys, rows)
    found: NDArray[np.float32] = table.lookup(keys).reshape(-1)
    return found


def assert_same_bits(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """NaN equals any NaN; zeros have signs."""
    assert_array_equal(np.isnan(ours), np.isnan(theirs))
    number = ~np.isnan(ours)
    assert_array_equal(ours.view(np.uint32)[number], theirs.view(np.uint32)[number])


@pytest.mark.parametrize("row_type", HALVES)
def test_every_half_is_kept_exactly(make_table: MakeTable, row_type: Half) -> None:
    values = every_half(row_type)
    found = stored(make_table, row_type, values)
    assert_same_bits(found, values)
    # What was read is bit for bit what is read after it was written again, NaN included.
    assert_array_equal(stored(make_table, row_type, found).view(np.uint32), found.view(np.uint32))


@pytest.mark.parametrize("row_type", HALVES)
def test_assign_rounds_to_the_nearest_as_others_do(row_type: Half) -> None:
    """Around every half and every midpoint of two, and all sizes of float32."""
    halves = np.sort(every_half(row_type)[np.isfinite(every_half(row_type))])
    with np.errstate(over="ignore"):
        middles = ((halves[1:].astype(np.float64) + halves[:-1]) / 2).astype(np.float32)
    random = np.random.default_rng(0).integers(0, 2**32, 2**19, dtype=np.uint32).view(np.float32)
    exact = np.concatenate([halves, middles])
    beside = [np.nextafter(exact, np.float32(to)) for to in (-np.inf, np.inf)]
    values = np.concatenate([exact, *beside, random, floats(np.inf, -np.inf, np.nan)])
    values = np.resize(values, -(-len(values) // 64) * 64)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(dtype(row_type)).astype(np.float32)
    # The one difference: a finite number never becomes infinite.
    beyond = np.isfinite(values) & np.isinf(expected)
    assert beyond.any()
    expected[beyond] = np.copysign(LARGEST[row_type], values[beyond])
    found = stored(HashTable, row_type, values)
    assert_same_bits(found, expected)
    number = ~np.isnan(values)
    assert_same_bits(reference_rows.nearest(row_type, values[number]), expected[number])


@pytest.mark.parametrize("row_type", HALVES)
@pytest.mark.parametrize("dim", [1, 5, 300])
def test_a_new_row_starts_as_lookup_said(make_table: MakeTable, row_type: Half, dim: int) -> None:
    for initializer in (Uniform(low=-3, high=5), Normal(), Constant(value=0.1)):
        table = make_table(dim=dim, row_type=row_type, initializer=initializer, seed=3)
        exact = make_table(dim=dim, initializer=initializer, seed=3).lookup(ints(7, -1))
        before = table.lookup(ints(7, -1))
        assert_array_equal(before, reference_rows.nearest(row_type, exact))
        assert_array_equal(table.gather(table.find_or_insert(ints(7, -1))), before)
        assert_array_equal(table.lookup(ints(7, -1)), before)


@pytest.mark.parametrize("row_type", HALVES)
def test_the_largest_numbers_stay_finite_and_what_is_not_stays(
    make_table: MakeTable, row_type: Half
) -> None:
    largest = LARGEST[row_type]
    table = make_table(
        dim=6, row_type=row_type, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=0.0)
    )
    rows = table.find_or_insert(ints(5))
    top = np.float32(largest)
    values = floats([top, -top, np.inf, -np.inf, np.nan, 1])
    table.assign(ints(5), values)
    assert_array_equal(table.gather(rows), values)
    for step in range(20):  # up or down by a part of the spacing, again and again
        nudge = floats([-largest / 512, largest / 512, 0, 0, 0, 0])
        with np.errstate(over="ignore"):  # the reference squares all gradients
            table.apply_gradients(rows, nudge, step=step)
    assert_array_equal(table.gather(rows), values)
    table.apply_gradients(rows, floats([0, 0, 0, 0, 0, np.inf]))
    assert_array_equal(table.gather(rows)[0, 5], -np.inf)
    table.apply_gradients(rows, floats([0, 0, 0, 0, 0, np.nan]))
    assert np.isnan(table.gather(rows)[0, 5])
    if row_type == "float16":
        table.assign(ints(5), floats([70_000, -70_000, 65_519.9, 65_520, 3e38, -3e38]))
        assert_array_equal(table.gather(rows)[0], floats(1, -1, 1, 1, 1, -1) * top)


@pytest.mark.parametrize("row_type", ["float32", *HALVES])
@pytest.mark.parametrize("optimizer", [SGD(), RowwiseAdagrad(), Adam()])
def test_every_dim_has_its_own_memory(
    make_table: MakeTable, backend: str, row_type: Half, optimizer: Any
) -> None:
    """Rows side by side: neither weights nor states of odd sizes touch their neighbours."""
    for dim in DIMS if backend.startswith("cpu") else [d for d in DIMS if d < 300]:
        table = make_table(dim=dim, row_type=row_type, optimizer=optimizer)
        rng = np.random.default_rng(dim)
        states = rng.normal(size=(20, optimizer.state_floats(dim))).astype(np.float32)
        values = rng.integers(-100, 101, (20, dim)).astype(np.float32)  # exact in each type
        counts = np.arange(20, dtype=np.uint32)
        keys = rng.permutation(20) * 1_000_003
        for i in rng.permutation(20):
            one = slice(i, i + 1)
            table.import_(TableRange(keys[one], values[one], states[one], counts[one], counts[one]))
        assert_array_equal(table.lookup(keys), values)
        found = table.export()
        order = np.argsort(keys)[np.argsort(np.argsort(found.keys))]
        assert_array_equal(found.keys, keys[order])
        assert_array_equal(found.values, values[order])
        assert_array_equal(found.states, states[order])
        assert_array_equal(found.frequency, counts[order])


@pytest.mark.parametrize("row_type", HALVES)
def test_memory_is_exact_and_half(row_type: Half) -> None:
    for dim, optimizer, row_floats in ((64, SGD(), 32), (9, Adagrad(), 16), (1, SGD(), 8)):
        table = HashTable(dim, optimizer=optimizer, row_type=row_type, capacity=10_000)
        empty = HashTable(dim, optimizer=optimizer, row_type=row_type)
        usage, predicted = table.memory_usage(), empty.memory_usage(10_000)
        assert (usage.rows, usage.metadata) == (predicted.rows, predicted.metadata)
        slab_rows = usage.metadata * 8 // 161  # 20 bytes and a live bit each
        assert 0 <= usage.rows / slab_rows - 4 * row_floats < 1
    half, whole = HashTable(64, row_type=row_type, capacity=65_536), HashTable(64, capacity=65_536)
    assert half.memory_usage().rows < 0.51 * whole.memory_usage().rows


def test_the_setting() -> None:
    table = HashTable(4, name="item", row_type="bfloat16")
    assert table.row_type == "bfloat16"
    assert repr(table) == (
        "HashTable('item', dim=4, size=0, row_type='bfloat16', "
        "optimizer=SGD(learning_rate=0.01), device='cpu')"
    )
    again = HashTable.from_config(json.loads(json.dumps(table.config())))
    assert again.row_type == "bfloat16"
    assert again.config() == table.config()
    old = {name: value for name, value in HashTable(4).config().items() if name != "row_type"}
    assert HashTable.from_config(old).row_type == "float32"
    wrong: Any = "float61"
    with pytest.raises(ConfigError, match="unknown row_type 'float61'; did you mean 'float16'"):
        HashTable(4, name="item", row_type=wrong)
