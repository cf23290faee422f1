"""On a real GPU: random use against the reference, and large batches with the CPU's bits.

`pytest -m gpu` runs this and the `gpu` backend of the whole suite.
"""

import importlib
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Adagrad,
    DeviceError,
    HashTable,
    Normal,
    SketchAdmission,
    TableFeature,
    TableGroup,
)
from tests.kernels.test_state_machine import TableMachine

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def device() -> None:
    """Skip visibly where there is no GPU, with the reason."""
    try:
        HashTable(1, device="gpu")
    except DeviceError as reason:
        pytest.skip(str(reason))


class GpuMachine(TableMachine):
    """The same random use, against the same reference."""

    make_table = staticmethod(partial(HashTable, device="gpu"))


TestGpuTable = GpuMachine.TestCase
TestGpuTable.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("dim", [1, 16, 129])
def test_large_batches_equal_the_cpu_bit_for_bit(dim: int) -> None:
    rng = np.random.default_rng(dim)
    ours, theirs = (
        HashTable(dim, device=device, optimizer=Adagrad(), initializer=Normal())
        for device in ("gpu", "cpu")
    )
    for step in range(4):
        keys = rng.integers(-(2**63), 2**63 - 1, 100_000)
        keys[::2] = rng.zipf(1.3, 50_000)
        gradients = rng.normal(size=(100_000, dim)).astype(np.float32)
        rows = [table.find_or_insert(keys) for table in (ours, theirs)]
        assert_array_equal(rows[0], rows[1])
        for table in (ours, theirs):
            table.apply_gradients(rows[0], gradients, step=step)
        assert ours.erase(keys[:30_000]) == theirs.erase(keys[:30_000])
    for name, array in vars(ours.export()).items():
        assert_array_equal(array, getattr(theirs.export(), name), err_msg=name)
    ours.check()


@pytest.mark.parametrize("policy", ["frequency", "recency"])
def test_policies_equal_the_cpu_on_many_rows(policy: Any) -> None:
    """Rows of many blocks and slabs: evictions at every batch, ties, shrinks, admission."""
    rng = np.random.default_rng(3)
    named: dict[str, Any] = {
        "max_rows": 90_000,
        "on_full": "evict",
        "eviction_policy": policy,
        "admission": SketchAdmission(threshold=2, width=1 << 18, depth=2),
        "optimizer": Adagrad(),
    }
    tables = [HashTable(64, device=device, **named) for device in ("gpu", "cpu")]
    for step in range(8):
        keys = rng.zipf(1.1, 150_000) % 2_000_000
        keys[::2] = rng.integers(0, 150_000, 75_000)
        gradients = rng.normal(size=(150_000, 64)).astype(np.float32)
        results: list[list[Any]] = []
        for table in tables:
            rows = table.find_or_insert(keys)
            table.apply_gradients(rows, gradients, step=step)
            done = [rows, table.erase(keys[:5000]), table.expire(older_than=3)]
            if step % 3 == 2:
                done.append(table.restrict(50_000, policy="recency"))
                table.shrink()
                table.decay_frequency(0.7)
            done += table.changed_since(max(0, step - 2))
            table.advance_version()
            stats = table.stats()
            assert sum(stats.probe_lengths) == stats.size
            done += [stats.size, stats.free_rows, stats.evicted, stats.rejected]
            results.append(done)
        for mine, other in zip(*results, strict=True):
            assert_array_equal(mine, other)
    for name, array in vars(tables[0].export()).items():
        assert_array_equal(array, getattr(tables[1].export(), name), err_msg=name)
    assert tables[0].stats().evicted > 50_000
    tables[0].check()


def test_memory_of_empty_slabs_goes_back_to_the_pool() -> None:
    cupy = importlib.import_module("cupy")
    table = HashTable(1000, device="gpu")  # 1,024 rows and 4 MB a slab
    keys = np.arange(20_000, dtype=np.int64)
    rows = table.find_or_insert(keys)
    table.apply_gradients(rows[:1000], np.zeros((1000, 1000), np.float32), step=1)
    before, used = table.memory_usage(), cupy.get_default_memory_pool().used_bytes()
    assert table.restrict(1000, policy="recency") == 19_000
    freed = before.rows - table.memory_usage().rows
    assert freed >= 18 * 1024 * 1000 * 4
    assert used - cupy.get_default_memory_pool().used_bytes() > 0.9 * freed
    assert_array_equal(table.find_or_insert(keys) >= 0, np.ones(20_000, bool))
    assert_array_equal(table.lookup(keys[1000:]), HashTable(1000).lookup(keys[1000:]))
    assert table.memory_usage().rows == before.rows
    table.check()


def test_a_group_equals_the_cpu() -> None:
    rng = np.random.default_rng(4)
    features = [
        TableFeature(name="user", table="a"),
        TableFeature(name="seen", table="b", combiner="mean"),
        TableFeature(name="item", table="b"),
    ]
    groups, tables = [], []
    for device in ("gpu", "cpu"):
        pair = [HashTable(dim, name=name, device=device) for name, dim in (("a", 16), ("b", 33))]
        groups.append(TableGroup(pair, features))
        tables.append(pair)
    for step in range(4):
        keys = [rng.zipf(1.2, n) for n in (8192, 40_960, 8192)]
        offsets = [None, np.arange(8193) * 5, None]
        gradients = rng.normal(size=(8192, groups[0].width)).astype(np.float32)
        found = [group.forward(keys, offsets, insert=True) for group in groups]
        for mine, other in zip(*found, strict=True):
            assert_array_equal(mine, other)
        for group, (_, rows) in zip(groups, found, strict=True):
            group.backward(rows, gradients, offsets, step=step)
    for ours, theirs in zip(*tables, strict=True):
        for name, array in vars(ours.export()).items():
            assert_array_equal(array, getattr(theirs.export(), name), err_msg=name)
