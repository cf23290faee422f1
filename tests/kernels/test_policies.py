"""Which keys leave a table and what is left: restrict, expire, decay, shrink, on_full="evict"."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Adagrad,
    ConfigError,
    Constant,
    CountAdmission,
    HashTable,
    SketchAdmission,
    TableFeature,
    TableFullError,
    TableGroup,
    TableRange,
)
from tests.kernels.conftest import MakeTable, Table, floats, ints
from tests.kernels.test_group import DEVICES


def fill(table: Table, keys: Any, frequency: Any, last_step: Any = None, dim: int = 3) -> None:
    """Insert keys with the given metadata and weights that tell them apart."""
    keys = np.asarray(keys, np.int64)
    values = np.repeat(keys.astype(np.float32)[:, None], dim, axis=1)
    frequency = np.asarray(frequency, np.uint32)
    last_step = frequency if last_step is None else np.asarray(last_step, np.uint32)
    states = np.ones((len(keys), table.export().states.shape[1]), np.float32)
    table.import_(TableRange(keys, values, states, frequency, last_step))


def make(**settings: Any) -> HashTable:
    """Make a table of any settings, wrong ones too."""
    return HashTable(2, **settings)


def test_restrict_keeps_the_best_and_of_equal_ones_the_smaller_keys(make_table: MakeTable) -> None:
    table = make_table()
    fill(table, [9, -5, 7, 3, 2**63 - 1, -(2**63)], [4, 2, 2, 2, 2, 1])
    assert table.restrict(3) == 3
    assert sorted(table.keys().tolist()) == [-5, 3, 9]
    assert_array_equal(table.find(ints(7, -(2**63))), ints(-1, -1))
    assert_array_equal(table.lookup(ints(9, 3)), floats([9, 9, 9], [3, 3, 3]))
    table.check()


def test_restrict_by_recency(make_table: MakeTable) -> None:
    table = make_table()
    fill(table, [1, 2, 3, 4], [9, 9, 1, 1], [5, 6, 8, 7])
    assert table.restrict(2, policy="recency") == 2
    assert_array_equal(table.keys(), ints(3, 4))


@pytest.mark.parametrize(
    ("num_reserved", "trigger", "evicted"),
    [(5, None, 5), (10, None, 0), (11, None, 0), (5, 10, 0), (5, 9, 5), (0, 0, 10), (20, 1, 0)],
)
def test_restrict_acts_only_above_its_trigger(
    make_table: MakeTable, num_reserved: int, trigger: int | None, evicted: int
) -> None:
    table = make_table()
    fill(table, range(10), range(10))
    assert table.restrict(num_reserved, trigger) == evicted
    assert_array_equal(table.keys(), np.arange(evicted, 10))
    table.check()


@pytest.mark.parametrize("spread", [1, 40, 2**32 - 1])
@pytest.mark.parametrize("policy", ["frequency", "recency"])
def test_restrict_equals_a_sort(spread: int, policy: Any) -> None:
    """Many slabs, scores of a narrow and of the whole range, keys far apart and adjacent."""
    rng = np.random.default_rng(spread)
    keys = np.concatenate([rng.integers(-(2**63), 2**63 - 1, 30_000), np.arange(70_000)])
    keys = rng.permutation(np.unique(keys))
    score = rng.integers(0, spread, len(keys), endpoint=True, dtype=np.uint64)
    table = HashTable(3)
    fill(table, keys, *((score, 0 * score) if policy == "frequency" else (0 * score, score)))
    table.erase(keys[::7])
    kept = np.ones(len(keys), bool)
    kept[::7] = False
    keys, score = keys[kept], score[kept]
    order = np.lexsort((keys, -score.astype(np.int64)))
    for num_reserved in (80_001, 40_000, 39_999, 1):
        table.restrict(num_reserved, policy=policy)
        assert_array_equal(np.sort(table.keys()), np.sort(keys[order[:num_reserved]]))
        table.check()


@pytest.mark.parametrize("spread", [2047, 2048, 2049, 4096, 2**30, 2**32 - 1])
def test_restrict_cuts_among_the_highest_score(make_table: MakeTable, spread: int) -> None:
    """Scores `spread` apart, around the 2,048 buckets of a pass: the cut lies in the last one."""
    table = make_table()
    fill(table, range(5), [0, spread, spread, spread, 0])
    assert table.restrict(2) == 3
    assert_array_equal(table.keys(), ints(1, 2))


def test_a_key_that_left_starts_anew(make_table: MakeTable) -> None:
    table = make_table(optimizer=Adagrad(), initializer=Constant(value=2.0))
    rows = table.find_or_insert(ints(1, 2, 3))
    table.apply_gradients(rows, np.ones((3, 3), np.float32), step=4)
    table.apply_gradients(rows[1:], np.ones((2, 3), np.float32), step=5)
    assert table.restrict(2) == 1
    assert_array_equal(table.find_or_insert(ints(1)), rows[:1])
    again = table.export(0, 1)
    assert_array_equal(again.keys, ints(1))
    assert_array_equal(again.values, np.full((1, 3), 2, np.float32))
    assert_array_equal(again.states, np.full((1, 3), 0.1, np.float32))
    assert (again.frequency[0], again.last_step[0]) == (0, 0)


def test_freed_rows_are_reused_from_the_lowest(make_table: MakeTable) -> None:
    table = make_table()
    fill(table, range(8), [1, 9, 1, 9, 1, 9, 9, 9])
    assert table.restrict(5) == 3
    assert_array_equal(table.find_or_insert(ints(100, 101, 102, 103)), ints(0, 2, 4, 8))


def test_expire(make_table: MakeTable) -> None:
    table = make_table()
    fill(table, [1, 2, 3, 4], [9, 9, 9, 9], [0, 5, 6, 10])
    assert table.expire(before_step=0) == 0
    assert table.expire(before_step=5) == 1
    assert table.expire(older_than=5) == 0
    assert table.expire(older_than=4) == 1
    assert_array_equal(table.keys(), ints(3, 4))
    # The newest step counts even when its key is gone, and no longer after a clear.
    table.erase(ints(4))
    assert table.expire(older_than=4) == 0
    assert table.expire(older_than=3) == 1
    table.clear()
    fill(table, [7], [1], [2])
    assert table.expire(older_than=1) == 0
    table.check()


def test_only_updates_refresh_a_key(make_table: MakeTable) -> None:
    table = make_table()
    rows = table.find_or_insert(ints(1, 2))
    table.apply_gradients(rows, np.zeros((2, 3), np.float32), step=1)
    table.apply_gradients(rows[:1], np.zeros((1, 3), np.float32), step=3)
    table.apply_gradients(ints(-1), np.zeros((1, 3), np.float32), step=99)
    table.find_or_insert(ints(2))
    assert table.expire(older_than=1) == 1
    assert_array_equal(table.keys(), ints(1))


def test_decay(make_table: MakeTable) -> None:
    table = make_table()
    top = 2**32 - 1
    fill(table, range(6), [0, 1, 2, 3, 10, top])
    table.decay_frequency(1.0)
    assert_array_equal(table.export().frequency, np.array([0, 1, 2, 3, 10, top], np.uint32))
    table.decay_frequency(0.9)
    expected = np.array([0, 0, 1, 2, 9, int(top * 0.9)], np.uint32)
    assert_array_equal(table.export().frequency, expected)
    table.decay_frequency(0)
    assert not table.export().frequency.any()


def test_shrink_keeps_every_row(make_table: MakeTable) -> None:
    table = make_table(optimizer=Adagrad())
    keys = np.arange(500, dtype=np.int64)
    fill(table, keys, keys % 50, keys)
    table.restrict(200)
    expected = {k: v.tolist() for k, v in zip(table.keys(), table.export().values, strict=True)}
    table.shrink()
    table.check()
    assert table.row_limit == table.size == 200
    found = table.export()
    assert expected == {k: v.tolist() for k, v in zip(found.keys, found.values, strict=True)}
    assert_array_equal(found.frequency, found.keys % 50)
    assert_array_equal(found.last_step, found.keys)
    assert_array_equal(table.find_or_insert(ints(1000)), ints(200))
    table.restrict(0)
    table.shrink()
    assert table.row_limit == table.size == 0
    assert_array_equal(table.find_or_insert(keys), keys)


def test_rows_that_move_are_not_written(make_table: MakeTable) -> None:
    """A shrink is no change: a row's version moves with it."""
    table = make_table()
    fill(table, range(40), range(40))
    table.restrict(30)
    base = table.advance_version()
    table.assign(ints(39, 100), np.ones((2, 3), np.float32))
    table.restrict(10)
    table.shrink()
    assert sorted(table.export(since=base).keys.tolist()) == [39]
    assert sorted(table.changed_since(base).updated.tolist()) == [39]
    assert len(table.export(since=base - 1)) == 10


def test_memory_of_empty_slabs_is_given_back() -> None:
    table = HashTable(1000)  # 512 rows and 2 MB a slab
    keys = np.arange(5000, dtype=np.int64)
    fill(table, keys, keys, dim=1000)
    before = table.memory_usage()
    used = resident_bytes()
    assert table.restrict(1000, policy="recency") == 4000
    after = table.memory_usage()
    assert before.rows - after.rows >= 4000 // 1024 * 1024 * 1000 * 4
    assert used - resident_bytes() > 0.8 * (before.rows - after.rows)
    assert_array_equal(table.lookup(keys[4000:])[:, 9], keys[4000:].astype(np.float32))
    # Reused rows count again, and start as new ones do.
    table.find_or_insert(keys)
    assert table.memory_usage().rows == before.rows
    assert_array_equal(table.lookup(keys[:4000]), HashTable(1000).lookup(keys[:4000]))
    table.check()


def test_shrink_gives_back_what_restrict_cannot() -> None:
    table = HashTable(1000, capacity=8000)
    keys = np.arange(5000, dtype=np.int64)
    fill(table, keys, keys % 5, dim=1000)  # what goes is spread over all slabs
    before = table.memory_usage()
    assert table.restrict(1000) == 4000
    assert table.memory_usage().rows == before.rows
    used = resident_bytes()
    table.shrink()
    after, fresh = table.memory_usage(), HashTable(1000, capacity=1000).memory_usage()
    assert after.rows == fresh.rows
    assert after.index == fresh.index
    assert used - resident_bytes() > 0.5 * (before.rows - after.rows)
    table.check()


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("policy", ["frequency", "recency"])
def test_a_full_table_evicts_before_it_inserts(make_table: MakeTable, policy: str) -> None:
    table = make_table(max_rows=5, on_full="evict", eviction_policy=policy)
    scores = [3, 1, 1, 2, 5]
    zeros = [0] * 5
    fill(table, range(5), *((scores, zeros) if policy == "frequency" else (zeros, scores)))
    rows = table.find_or_insert(ints(7, 1, 8, 7, 4))  # 1 is in the batch, so 2 and 3 go
    assert table.size == 5
    assert sorted(table.keys().tolist()) == [0, 1, 4, 7, 8]
    assert_array_equal(rows, ints(2, 1, 3, 2, 4))
    table.assign(ints(9), np.ones((1, 3), np.float32))
    assert sorted(table.keys().tolist()) == [0, 1, 4, 7, 9]  # of 7 and 8 the larger
    table.check()


def test_a_batch_larger_than_the_table_changes_nothing(make_table: MakeTable) -> None:
    table = make_table(max_rows=5, on_full="evict", name="small")
    fill(table, range(4), range(4))
    before = table.export()
    with pytest.raises(TableFullError, match="'small' is full"):
        table.find_or_insert(ints(3, 10, 11, 12, 13, 14, 10))
    assert_array_equal(table.export().keys, before.keys)
    assert_array_equal(table.export().frequency, before.frequency)
    table.find_or_insert(ints(3, 10, 11, 12, 13, 10))
    assert sorted(table.keys().tolist()) == [3, 10, 11, 12, 13]
    table.find_or_insert(ints(3, 3, 3, 10, 10, 20, 20, 21))  # distinct keys count, not positions
    assert sorted(table.keys().tolist()) == [3, 10, 11, 20, 21]


def test_a_batch_larger_than_the_table_is_told_so() -> None:
    table = HashTable(2, max_rows=2, on_full="evict")
    table.find_or_insert([1])
    with pytest.raises(TableFullError, match=r"one batch has 3 distinct keys and max_rows is 2"):
        table.find_or_insert([1, 5, 1, 6, 5])
    with pytest.raises(TableFullError, match="max_rows is 2"):
        table.reserve(3)


def test_eviction_when_full_never_touches_the_batch() -> None:
    rng = np.random.default_rng(7)
    table = HashTable(2, max_rows=1000, on_full="evict", initializer=Constant(value=1.0))
    for step in range(60):
        keys = rng.zipf(1.2, 700) % 5000
        rows = table.find_or_insert(keys)
        assert_array_equal(table.find(keys), rows)
        table.apply_gradients(rows, np.zeros((700, 2), np.float32), step=step)
        assert table.size <= 1000
    table.check()
    assert table.size == table.row_limit == 1000
    # 1,000 rows and a batch of 700 at once need 284 chunks of six: 512, or twice that.
    assert table.memory_usage().index <= 1024 * 128


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.restrict(-1), "table 't': num_reserved is -1; expected 0 to"),
        (lambda t: t.restrict(1.5), "num_reserved is 1.5; expected an integer"),
        (lambda t: t.restrict(1, -2), "trigger is -2"),
        (lambda t: t.restrict(1, policy="recent"), "unknown policy 'recent'; did you mean 'rece"),
        (lambda t: t.expire(), "either before_step or older_than; none was given"),
        (lambda t: t.expire(before_step=1, older_than=1), "both were given"),
        (lambda t: t.expire(before_step=-1), "before_step is -1"),
        (lambda t: t.expire(older_than=2**32), "older_than is 4294967296; expected 0 to"),
        (lambda t: t.decay_frequency(1.01), "factor is 1.01; expected 0 to 1"),
        (lambda t: t.decay_frequency(float("nan")), "factor is nan"),
        (lambda t: t.decay_frequency("half"), "factor is 'half'; expected a number"),
        (lambda t: make(on_full="drop"), "unknown on_full 'drop'; known: error, evict"),
        (lambda t: make(eviction_policy="lru"), "unknown eviction_policy 'lru'; known"),
        (lambda t: make(eviction_log=-1), "eviction_log is -1"),
    ],
)
def test_bad_arguments(call: Any, message: str) -> None:
    table = HashTable(2, name="t")
    table.find_or_insert([1, 2, 3])
    with pytest.raises(ConfigError, match=message):
        call(table)
    assert table.size == 3


@DEVICES
def test_a_group_call_that_fails_evicts_and_counts_nothing(kind: Any) -> None:
    """One table makes room, the other cannot: neither changed, not even a count of admission."""
    first = kind(2, name="a", max_rows=3, on_full="evict")
    second = kind(2, name="b", max_rows=2, admission=CountAdmission(threshold=2))
    features = [TableFeature(name="x", table="a"), TableFeature(name="y", table="b")]
    group = TableGroup([first, second], features)
    _, rows = group.forward([[1, 2, 3], [7, 7, 8]], insert=True)
    assert_array_equal(rows, ints(0, 1, 2, 0, 0, -1))
    base = first.advance_version()
    with pytest.raises(TableFullError, match="'b' is full"):
        group.forward([[4, 5, 6, 4], [8, 9, 9, 9]], insert=True)
    assert_array_equal(first.keys(), ints(1, 2, 3))
    assert first.changed_since(base).evicted.size == first.stats().evicted == 0
    assert_array_equal(second.export_policy_state().candidate_counts, [1])
    assert second.stats().rejected == 1
    # A batch that fits, and leaves nothing of the failed one behind.
    vectors, rows = group.forward([[4, 5], [9, 8]], insert=True)
    assert_array_equal(first.changed_since(base).evicted, ints(2, 3))
    assert_array_equal(rows, ints(1, 2, -1, 1))
    assert_array_equal(vectors[0, 2:], floats(0, 0))
    group.backward(rows, np.ones((2, 4), np.float32), step=3)
    assert_array_equal(second.export().frequency, [0, 1])
    assert first.expire(before_step=3) == 1
    first.check()
    second.check()


@pytest.mark.parametrize("threads", [2, 7])
def test_policies_do_not_depend_on_threads(threads: int) -> None:
    """The same bits in the same rows, through evictions, admission and a shrink."""
    settings: dict[str, Any] = {
        "max_rows": 400,
        "on_full": "evict",
        "admission": SketchAdmission(threshold=2, width=512, depth=2),
        "optimizer": Adagrad(),
    }
    tables = [HashTable(4, threads=n, _grain=8, **settings) for n in (1, threads)]
    rng = np.random.default_rng(12)
    for step in range(40):
        keys = rng.zipf(1.2, 500) % 3000
        gradients = rng.normal(size=(500, 4)).astype(np.float32)
        for table in tables:
            table.apply_gradients(table.find_or_insert(keys), gradients, step=step)
            if step % 9 == 8:
                table.restrict(300, policy="recency")
                table.shrink()
                table.decay_frequency(0.7)
    ours, theirs = (vars(table.export()) for table in tables)
    for name, value in theirs.items():
        assert_array_equal(ours[name], value, err_msg=name)
    assert tables[0].stats() == tables[1].stats()
    assert tables[0].stats().evicted > 500
