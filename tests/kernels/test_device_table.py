"""The device table on the SIMT interpreter: the CPU's bits, whatever the schedule."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Adagrad,
    ArrayShapeError,
    ArrayTypeError,
    ConfigError,
    HashTable,
    Normal,
    Optimizer,
    RowIndexError,
    TableFullError,
    TableRange,
    _cpu,
)
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.gpu.storage import MISSING, DeviceStorage
from tests.kernels.conftest import floats, ints
from tests.kernels.every_optimizer import ALL
from tests.kernels.simt.launcher import compiler
from tests.kernels.simt.table import simt_table
from tests.kernels.small_device import SmallDevice, on_device
from tests.kernels.test_state_machine import TableMachine

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")


def host(table: HashTable) -> HostTable:
    found = table._table
    assert isinstance(found, HostTable)
    return found


def assert_equal_ranges(ours: TableRange, theirs: TableRange) -> None:
    for name, array in vars(ours).items():
        assert_array_equal(array, getattr(theirs, name), err_msg=name, strict=True)


class SimtMachine(TableMachine):
    """The same random use, against the same reference."""

    make_table = staticmethod(simt_table)


TestSimtTable = SimtMachine.TestCase
TestSimtTable.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(1, 70),
    hash_bits=st.sampled_from([0, 2, 5, 64]),
    optimizer=st.sampled_from([Adagrad(learning_rate=0.1), None]),
)
def test_equals_the_cpu_bit_for_bit(
    seed: int, dim: int, hash_bits: int, optimizer: Adagrad | None
) -> None:
    rng = np.random.default_rng(seed)
    named: dict[str, Any] = {"initializer": Normal(), "seed": seed, "_hash_bits": hash_bits}
    if optimizer is not None:
        named["optimizer"] = optimizer
    ours, theirs = simt_table(dim, _seed=seed, **named), HashTable(dim, **named)
    for step in range(3):
        count = int(rng.integers(0, 90))
        keys = rng.integers(-40, 40, count)
        gradients = rng.normal(size=(9, dim)).astype(np.float32)
        source = rng.integers(0, 9, count)
        scale = rng.normal(size=count).astype(np.float32)
        results = []
        for table in (ours, theirs):
            rows = table.find_or_insert(keys)
            rows[::7] = -1
            table.apply_gradients(rows, gradients, source=source, scale=scale, step=step)
            offsets = np.linspace(0, count, 5).astype(np.int64)
            pooled = table.gather_pooled(rows, offsets, combiner="sqrtn", weights=scale)
            results.append((rows, pooled, table.lookup(keys + 7), table.erase(keys[::3])))
        for mine, other in zip(*results, strict=True):
            assert_array_equal(mine, other)
        assert_equal_ranges(ours.export(), theirs.export())
    ours.check()


@pytest.mark.parametrize("dim", [1, 16, 17, 70])
@pytest.mark.parametrize("optimizer", ALL.values(), ids=ALL)
def test_every_optimizer_equals_the_cpu(optimizer: Optimizer, dim: int) -> None:
    rng = np.random.default_rng(dim)
    tables = simt_table(dim, optimizer=optimizer), HashTable(dim, optimizer=optimizer)
    for step in range(3):
        keys = rng.integers(0, 12, 30)
        gradients = rng.normal(size=(30, dim)).astype(np.float32)
        for table in tables:
            rows = table.find_or_insert(keys)
            rows[::9] = -1
            table.apply_gradients(rows, gradients, step=step, learning_rate=0.1 / (step + 1))
    assert_equal_ranges(tables[0].export(), tables[1].export())


def test_growth_from_nothing_to_many_slabs() -> None:
    """A wide row, so that a slab has few rows and a table has several."""
    dim = 16_384
    ours, theirs = simt_table(dim, _seed=1), HashTable(dim)
    for start in range(0, 200, 40):
        keys = np.arange(start, start + 40, dtype=np.int64)
        assert_array_equal(ours.find_or_insert(keys), theirs.find_or_insert(keys))
    assert host(ours).on_device.storage.slab_count > 3
    assert_array_equal(ours.lookup(ints(0, 77, 199)), theirs.lookup(ints(0, 77, 199)))
    ours.check()
    assert ours.memory_usage().rows >= 200 * dim * 4


def test_tombstones_are_reused_and_rebuilt() -> None:
    table = simt_table(1, _hash_bits=1, _seed=3)
    for base in range(0, 300, 30):
        table.find_or_insert(np.arange(base, base + 30, dtype=np.int64))
        assert table.erase(np.arange(base, base + 30, dtype=np.int64)) == 30
        table.check()
    assert len(table) == 0
    assert table.row_limit == 30


@pytest.mark.parametrize("left", [0, 100, 3_000, 30_000, 4_000_000, 4_300_000])
def test_out_of_device_memory_changes_nothing(left: int) -> None:
    launcher = SmallDevice(1)
    table = on_device(launcher, 3, name="t")
    table.find_or_insert(np.arange(5, dtype=np.int64))
    before = table.export()
    many = np.arange(-200_000, 3, dtype=np.int64)
    launcher.left = left + many.nbytes  # the keys' own copy is the caller's
    with pytest.raises((TableFullError, MemoryError), match=r"out of memory|device is full"):
        table.find_or_insert(many)
    launcher.left = left + many.nbytes + 12 * many.size
    with pytest.raises((TableFullError, MemoryError), match=r"out of memory|device is full"):
        table.assign(many, np.ones((many.size, 3), np.float32))
    launcher.left = 1 << 60
    assert_equal_ranges(table.export(), before)
    table.check()
    assert table.find_or_insert(ints(3, 99)).tolist() == [3, 5]


def broken(change: Any) -> str:
    """Change a sound table's memory; give what `check` says."""
    table = simt_table(2, _seed=5)
    table.find_or_insert(np.arange(0, 40_000, 1000, dtype=np.int64))
    table.erase(ints(0, 1000, 2000))
    storage = host(table).on_device.storage
    table.check()
    chunks = storage.index_chunks()
    at = int(np.flatnonzero(chunks.view(np.uint16).reshape(-1, 64)[:, 0] > 1)[0])
    chunk = chunks[128 * at : 128 * at + 128]
    change(storage, chunk)
    return host(table).check()


def set_value(array: Any, at: Any, value: Any) -> None:
    array[at] = value


BREAKS: dict[str, tuple[Any, str]] = {
    "row-out-of-range": (
        lambda s, c: set_value(c.view(np.uint32), 4, 12345),
        "row 12345 does not exist",
    ),
    "row-free": (lambda s, c: set_value(c.view(np.uint32), 4, 1), "row 1 is free"),
    "key-differs": (lambda s, c: set_value(c.view(np.int64), 6, 7), "key 7, but row"),
    "tag-wrong": (
        lambda s, c: set_value(c.view(np.uint16), 0, c.view(np.uint16)[0] ^ 0x4000),
        "is not found here by a probe",
    ),
    "slot-lost": (lambda s, c: set_value(c.view(np.uint16), 0, 0), "index has 36 keys"),
    "tombstones": (lambda s, c: setattr(s, "tombstones", 9), "tombstones, the table counts 9"),
    "live-bit": (
        lambda s, c: set_value(s.live_bits(), 0, s.live_bits()[0] | np.uint64(1)),
        "38 rows are live, the table counts 37",
    ),
    "free-twice": (lambda s, c: set_value(s.free_rows(), 0, 1), "free list: a row is listed twice"),
    "free-range": (lambda s, c: set_value(s.free_rows(), 0, 999), "row 999 does not exist"),
    "free-live": (lambda s, c: set_value(s.free_rows(), 0, 9), "free list: row 9 is live"),
    "free-lost": (lambda s, c: setattr(s, "free_count", 2), "rows are lost: 37 live and 2 free"),
    "load": (lambda s, c: setattr(s, "chunk_count", 4), "index is over its load factor"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_check_names_the_broken_invariant(case: str) -> None:
    change, message = BREAKS[case]
    assert message in broken(change)


def test_device_arrays_in_and_out() -> None:
    """The path of CuPy, PyTorch and TensorFlow, with NumPy's DLPack in their place."""
    table, theirs = simt_table(3, _seed=8, name="t"), HashTable(3, name="t")
    calls = host(table).device_calls()
    keys = ints(5, 9, 5, -1)
    rows = calls.find_or_insert(keys)
    assert_array_equal(rows, theirs.find_or_insert(keys))
    assert_array_equal(calls.find(ints(9, 100)), ints(1, -1))
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    calls.apply_gradients(rows, wide[:, 2:5], step=3, learning_rate=0.5)
    theirs.apply_gradients(rows, wide[:, 2:5], step=3, learning_rate=0.5)
    assert_array_equal(calls.gather(rows), theirs.gather(rows))
    for missing in ("initial", "zeros"):
        found = calls.lookup(ints(5, 8), missing=missing)
        assert_array_equal(found, theirs.lookup(ints(5, 8), missing=missing))
    default, weights, offsets = floats(7, 8, 9), floats(1, 2, 3, 4), ints(0, 1, 4)
    missing_too = ints(0, -1, 1, -1)
    assert_array_equal(
        calls.gather(missing_too, default=default), theirs.gather(missing_too, default=default)
    )
    for combiner in ("sum", "mean", "sqrtn"):
        named: dict[str, Any] = {"combiner": combiner, "weights": weights, "default": default}
        assert_array_equal(
            calls.gather_pooled(missing_too, offsets, **named),
            theirs.gather_pooled(missing_too, offsets, **named),
        )
    assert_array_equal(calls.gather_pooled(rows, offsets), theirs.gather_pooled(rows, offsets))
    assert calls.gather(np.empty(0, np.int64)).shape == (0, 3)
    with pytest.raises(ArrayShapeError, match=r"weights has shape \[3\]; expected .* of 4"):
        calls.gather_pooled(rows, offsets, weights=weights[:3])
    with pytest.raises(ArrayShapeError, match=r"default has shape \[4\]; expected .* of 3"):
        calls.gather(rows, default=weights)
    with pytest.raises(ArrayShapeError, match="offsets is empty"):
        calls.gather_pooled(rows, ints())
    with pytest.raises(ArrayShapeError, match=r"offsets\[2\] is 3; offsets must start at 0"):
        calls.gather_pooled(rows, ints(0, 1, 3))
    with pytest.raises(ConfigError, match="unknown combiner 'men'; did you mean 'mean'"):
        calls.gather_pooled(rows, offsets, combiner="men")
    with pytest.raises(ArrayTypeError, match="keys has dtype int32; expected int64"):
        calls.find(np.zeros(2, np.int32))
    with pytest.raises(ArrayShapeError, match=r"rows has shape \[2, 2\]"):
        calls.gather(np.zeros((2, 2), np.int64))
    with pytest.raises(ArrayShapeError, match=r"gradients has shape \[4, 2\].*expected \[4, 3\]"):
        calls.apply_gradients(rows, wide[:, :2])
    with pytest.raises(ArrayShapeError, match="strides"):
        calls.apply_gradients(rows, wide[:, ::2])
    with pytest.raises(ArrayTypeError, match="gradients has dtype float64"):
        calls.apply_gradients(rows, wide[:, :3].astype(np.float64))
    with pytest.raises(ArrayShapeError, match="missing is 'no'"):
        calls.lookup(keys, missing="no")
    with pytest.raises(RowIndexError, match=r"rows\[0\] is 7"):
        calls.gather(ints(7))


def test_the_sum_is_in_order_of_position_in_every_schedule() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, 700)
    gradients = (rng.normal(size=(700, 2)) * 10.0 ** rng.integers(-6, 7, (700, 1))).astype(
        np.float32
    )
    results = set()
    for seed in range(8):
        table = simt_table(2, _seed=seed)
        table.find_or_insert(np.arange(4, dtype=np.int64))
        table.apply_gradients(rows, gradients)
        results.add(table.export().values.tobytes())
    cpu = HashTable(2)
    cpu.find_or_insert(np.arange(4, dtype=np.int64))
    cpu.apply_gradients(rows, gradients)
    assert results == {cpu.export().values.tobytes()}


def test_counters_lose_no_count() -> None:
    table = host(simt_table(1, _seed=2)).on_device
    launcher = table.storage.launcher
    keys = launcher.upload(np.arange(300, dtype=np.int64))
    for _ in range(20):
        counters, rows = table.storage.counters(), launcher.empty(300, np.int64)
        launcher.launch("emberline_find", 300, table.storage.view, keys, 300, rows, counters)
        assert launcher.download(counters)[MISSING] == 300


def test_a_device_has_all_that_the_cpu_has() -> None:
    """Every method of the extension's table, but for the settings that `HostTable` is made with."""
    methods = {name for name in vars(_cpu.Table) if not name.startswith("_")}
    assert len(methods) > 20
    assert methods - set(dir(HostTable)) == {"set_admission", "set_policy"}


def test_too_many_keys_for_one_call() -> None:
    table = host(simt_table(1)).on_device
    assert isinstance(table.storage, DeviceStorage)
    with pytest.raises(ArrayShapeError, match="keys has 2147483648 entries"):
        table.find_or_insert(floats(1), 2**31)
