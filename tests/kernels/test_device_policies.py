"""Policies of a device table on the SIMT interpreter: the CPU's rows, logs, counts and memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Adagrad,
    Admission,
    CountAdmission,
    HashTable,
    ProbabilisticAdmission,
    SketchAdmission,
    TableFeature,
    TableFullError,
    TableGroup,
    VersionError,
)
from emberline.kernels.gpu.removal_log import RemovalLog
from tests.kernels.conftest import Table, ints
from tests.kernels.simt.launcher import compiler
from tests.kernels.simt.table import simt_table
from tests.kernels.small_device import SmallDevice, on_device
from tests.kernels.test_device_table import assert_equal_ranges
from tests.kernels.test_policies import fill

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")

ADMISSIONS: list[Admission | None] = [
    None,
    CountAdmission(threshold=3),
    SketchAdmission(threshold=2, width=512, depth=2),
    ProbabilisticAdmission(threshold=3),
]
# 16 rows and 2 MB a slab, so that a few rows are many slabs.
WIDE: dict[str, Any] = {"dim": 32_768}


def assert_same(ours: Table, theirs: Table) -> None:
    """All that can be asked of a table but tombstones and probe lengths, which timing may change."""
    assert_equal_ranges(ours.export(), theirs.export())
    assert ours.row_limit == theirs.row_limit
    mine, other = (vars(table.export_policy_state()) for table in (ours, theirs))
    for name, value in other.items():
        assert_array_equal(mine[name], value, err_msg=name, strict=True)
    ours.check()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    admission=st.sampled_from(ADMISSIONS),
    policy=st.sampled_from(["frequency", "recency"]),
)
def test_equals_the_cpu_through_evictions_and_shrinks(
    seed: int, admission: Admission | None, policy: Any
) -> None:
    rng = np.random.default_rng(seed)
    named: dict[str, Any] = {
        "max_rows": int(rng.choice([45, 70])),
        "on_full": "evict",
        "eviction_policy": policy,
        "eviction_log": 60,
        "admission": admission,
        "optimizer": Adagrad(),
        "_hash_bits": int(rng.choice([3, 64])),
    }
    tables = simt_table(4, _seed=seed, **named), HashTable(4, **named)
    for step in range(6):
        keys = rng.zipf(1.2, 80) % 300 - 20
        keys[::2] = rng.integers(0, 45, 40)
        gradients = rng.normal(size=(80, 4)).astype(np.float32)
        results: list[list[Any]] = []
        for table in tables:
            try:
                rows: Any = table.find_or_insert(keys)
            except TableFullError as error:  # more distinct keys than rows
                rows = str(error)
            else:
                table.apply_gradients(rows, gradients, step=step)
            done = [rows, table.erase(keys[::9])]
            if step % 3 == 1:
                done.append(table.restrict(40, policy="recency"))
                table.shrink()
                table.decay_frequency(0.6)
            done.append(table.expire(older_than=3))
            try:
                done += table.changed_since(max(0, table.version - 3))
            except VersionError as error:
                done.append(str(error))
            table.advance_version()
            stats = table.stats()
            assert sum(stats.probe_lengths) == stats.size
            done.append([stats.evicted, stats.erased, stats.rejected, stats.log_entries])
            done.append([stats.size, stats.free_rows, stats.candidates])
            results.append(done)
        for mine, other in zip(*results, strict=True):
            assert_array_equal(mine, other)
        assert_same(*tables)


@pytest.mark.parametrize("spread", [0, 1, 40, 2**32 - 1])
@pytest.mark.parametrize("policy", ["frequency", "recency"])
def test_restrict_equals_a_sort(spread: int, policy: Any) -> None:
    """Scores of every width; keys far apart and adjacent, so that all passes are needed."""
    rng = np.random.default_rng(spread)
    edges = ints(-(2**63), 2**63 - 1, -1, 0)
    keys = np.unique(np.concatenate([rng.integers(-(2**63), 2**63 - 1, 100), np.arange(90), edges]))
    keys = rng.permutation(keys)
    score = rng.integers(0, spread, len(keys), endpoint=True, dtype=np.uint64)
    table = simt_table(1)
    fill(table, keys, *((score, 0 * score) if policy == "frequency" else (0 * score, score)), dim=1)
    order = np.lexsort((keys, -score.astype(np.int64)))
    for num_reserved in (len(keys) - 1, 101, 100, 64, 1):
        table.restrict(num_reserved, policy=policy)
        assert_array_equal(np.sort(table.keys()), np.sort(keys[order[:num_reserved]]))
    table.check()


@pytest.mark.parametrize("n", [0, 1, 6, 7, 173, 174, 5_000])
@pytest.mark.parametrize(
    "named",
    [
        {"dim": 2},
        {"dim": 33, "optimizer": Adagrad()},
        {"dim": 8, "admission": SketchAdmission(threshold=1, width=1000, depth=3)},
    ],
    ids=lambda named: str(named["dim"]),
)
def test_memory_is_predicted_exactly(named: dict[str, Any], n: int) -> None:
    predicted = simt_table(**named).memory_usage(n)
    table = simt_table(**named, capacity=n)
    usage = table.memory_usage()
    assert usage == predicted
    table.find_or_insert(np.arange(min(n, 200), dtype=np.int64))
    full = table.memory_usage()
    assert (full.index, full.rows, full.metadata) == (usage.index, usage.rows, usage.metadata)


def test_empty_slabs_are_given_back_and_come_again() -> None:
    tables = simt_table(**WIDE, _seed=1), HashTable(**WIDE)
    keys = np.arange(100, dtype=np.int64)
    for table in tables:
        fill(table, keys, keys, dim=WIDE["dim"])
    ours = tables[0]
    before = ours.memory_usage().rows
    steps: list[Any] = [
        lambda t: t.restrict(20, policy="recency"),
        lambda t: t.find_or_insert(ints(1000)),  # into the lowest row, whose slab is gone
        lambda t: t.find_or_insert(np.arange(2000, 2070)),
        lambda t: t.expire(before_step=2**32 - 1),
        lambda t: t.find_or_insert(np.arange(120)),  # all free rows, and the tail behind them
        lambda t: t.restrict(3),
        lambda t: t.shrink(),  # into a slab that was given back
        lambda t: t.restrict(0),
        lambda t: t.shrink(),
        lambda t: t.find_or_insert(keys),
    ]
    rows = []
    for step in steps:
        results = [step(table) for table in tables]
        if results[0] is not None:
            assert_array_equal(results[0], results[1])
        assert_same(*tables)
        rows.append(ours.memory_usage().rows)
    slab = before // 7
    assert rows == [2 * slab, 3 * slab, 7 * slab, 0, 8 * slab, slab, slab, 0, 0, 7 * slab]


def test_rows_move_into_slabs_that_were_given_back() -> None:
    tables = simt_table(**WIDE, _seed=2), HashTable(**WIDE)
    keys = np.arange(100, dtype=np.int64)
    for table in tables:
        fill(table, keys, keys, dim=WIDE["dim"])
        table.restrict(20)  # the last ones, so that all slabs but two go
        table.shrink()
    assert_same(*tables)
    for table in tables:
        table.restrict(0)
        table.find_or_insert(np.arange(200, 213))  # all rows of a slab that comes again, or most
        table.find_or_insert(np.arange(213, 260))  # and on, behind the last row
    assert_same(*tables)


def test_an_eviction_may_need_a_new_slab() -> None:
    """One row goes and two keys come: the second is the first of another slab."""
    tables = [make(**WIDE, max_rows=17, on_full="evict") for make in (simt_table, HashTable)]
    for table in tables:
        table.find_or_insert(np.arange(16))
        table.find_or_insert(ints(100, 101))
    assert_same(*tables)
    assert sorted(tables[0].keys().tolist()) == [*range(15), 100, 101]


def test_candidates_of_the_table_are_left_out() -> None:
    named: dict[str, Any] = {"admission": CountAdmission(threshold=3)}
    states = []
    for table in (simt_table(2, **named), HashTable(2, **named)):
        table.find_or_insert(ints(5, 5, 5))
        state = replace(
            table.export_policy_state(),
            newest_step=7,
            candidate_keys=ints(4, 5, 6),
            candidate_counts=np.array([1, 2, 2], np.uint32),
        )
        table.import_policy_state(state)
        table.check()
        states.append(vars(table.export_policy_state()))
    assert states[0]["candidate_keys"].tolist() == [4, 6]
    for name, value in states[1].items():
        assert_array_equal(states[0][name], value, err_msg=name)


def test_shrink_leaves_what_a_new_table_has() -> None:
    table = simt_table(**WIDE, capacity=200)
    keys = np.arange(150, dtype=np.int64)
    fill(table, keys, keys % 5, dim=WIDE["dim"])  # what goes is spread over all slabs
    assert table.restrict(40) == 110
    assert table.memory_usage().rows == simt_table(**WIDE).memory_usage(200).rows
    table.shrink()
    assert replace(table.memory_usage(), log=0) == simt_table(**WIDE).memory_usage(40)
    table.check()


CALLS: dict[str, Any] = {
    "find_or_insert": lambda t: t.find_or_insert(np.arange(1000, 1040)),
    "evict": lambda t: t.find_or_insert(np.arange(1000, 1090)),
    "assign": lambda t: t.assign(np.arange(1000, 1090), np.ones((90, 3), np.float32)),
    "erase": lambda t: t.erase(np.arange(50)),
    "restrict": lambda t: t.restrict(20),
    "expire": lambda t: t.expire(before_step=70),
    "shrink": lambda t: t.shrink(),
    "clear": lambda t: t.clear(),
    "update": lambda t: t.apply_gradients(np.arange(10), np.ones((10, 3), np.float32), step=200),
    "changes": lambda t: t.changed_since(0),
    "decay": lambda t: t.decay_frequency(0.5),
}


@pytest.mark.parametrize(
    ("call", "admission"),
    [(call, None) for call in CALLS]
    + [(call, CountAdmission(threshold=1)) for call in ("evict", "assign", "decay")],
)
def test_out_of_memory_at_every_allocation_changes_nothing(
    call: str, admission: Admission | None
) -> None:
    """The n-th allocation of the call fails, for every n; then the call succeeds."""
    for failing in range(200):
        device = SmallDevice(1)
        table = on_device(
            device, 3, max_rows=120, on_full="evict", admission=admission, eviction_log=1000
        )
        fill(table, np.arange(100), np.arange(100))
        table.erase(np.arange(60, 70))
        before, version = table.export(), table.changed_since(0).evicted
        state = vars(table.export_policy_state())
        device.allocations_left = failing
        try:
            CALLS[call](table)
        except MemoryError:
            device.allocations_left = SmallDevice.allocations_left
        else:
            break
        assert_equal_ranges(table.export(), before)
        assert_array_equal(table.changed_since(0).evicted, version)
        for name, value in vars(table.export_policy_state()).items():
            assert_array_equal(value, state[name])
        table.check()
        CALLS[call](table)
        table.check()
    assert 0 < failing < 199


def test_a_group_out_of_memory_changes_no_table() -> None:
    """The same for a group, whose second table's allocations may fail too."""
    for failing in range(200):
        device = SmallDevice(1)
        tables = [on_device(device, 2, name=name, max_rows=60, on_full="evict") for name in "ab"]
        for table in tables:
            fill(table, np.arange(50), np.arange(50), dim=2)
        group = TableGroup(tables, [TableFeature(name=name, table=name) for name in "ab"])
        before = [table.export() for table in tables]
        device.allocations_left = failing
        try:
            _, rows = group.forward([np.arange(40, 70)] * 2, insert=True)
        except MemoryError:
            device.allocations_left = SmallDevice.allocations_left
        else:
            break
        for table, export in zip(tables, before, strict=True):
            assert_equal_ranges(table.export(), export)
            assert table.stats().evicted == 0
            table.check()
    device.allocations_left = SmallDevice.allocations_left
    assert 30 < failing < 199
    before = [table.export() for table in tables]
    for failing in range(200):
        device.allocations_left = failing
        try:
            group.backward(rows, np.ones((30, 4), np.float32), step=100)
        except MemoryError:
            device.allocations_left = SmallDevice.allocations_left
        else:
            break
        for table, export in zip(tables, before, strict=True):
            assert_equal_ranges(table.export(), export)
    device.allocations_left = SmallDevice.allocations_left
    assert 20 < failing < 199
    assert all((table.export().last_step == 100).sum() == 30 for table in tables)


def test_the_log_is_a_ring() -> None:
    """Against a list, for every capacity and batch size."""
    rng = np.random.default_rng(0)
    for capacity in (0, 1, 2, 7, 50):
        log, entries, begin = RemovalLog(capacity), list[tuple[int, int]](), 0
        for version in range(1, 60):
            keys = rng.integers(0, 9, int(rng.integers(0, 12)))
            log.reserve(len(keys))
            log.append(keys, version)
            entries += [(key, version) for key in keys.tolist()]
            dropped = max(0, len(entries) - capacity)
            begin = entries[dropped - 1][1] if dropped else begin
            del entries[:dropped]
            assert (log.begin, len(log)) == (begin, len(entries))
            assert log.entries().tolist() == entries
            since = int(rng.integers(begin, version + 1))
            expected = list(dict.fromkeys(key for key, at in entries if at > since))
            assert log.keys_since(since).tolist() == expected
            assert log.memory_bytes <= 16 * capacity
            assert log.check(version) == ""
        if capacity:
            assert "eviction log: entry" in log.check(version - 40)


def test_messages_are_those_of_the_cpu() -> None:
    named: dict[str, Any] = {"max_rows": 3, "on_full": "evict", "eviction_log": 1, "name": "item"}
    calls: list[Any] = [
        lambda t: t.changed_since(1),
        lambda t: t.find_or_insert([1, 2, 3, 4]),
        lambda t: t.reserve(4),
        lambda t: t.changed_since(t.erase([1, 2]) - 1),
    ]
    for number, call in enumerate(calls):
        messages = []
        for table in (simt_table(2, **named), HashTable(2, **named)):
            table.find_or_insert([1, 2])
            if number == 3:
                table.advance_version()
            with pytest.raises((VersionError, TableFullError)) as raised:
                call(table)
            messages.append(str(raised.value))
        assert messages[0] == messages[1]
