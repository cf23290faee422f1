"""changed_since: a receiver that applies the deltas holds what the table holds."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import Constant, HashTable, TableFullError, VersionError
from tests.kernels.conftest import MakeTable, Table, ints


def changes(table: Table, version: int) -> tuple[list[int], list[int]]:
    """The two parts as lists."""
    updated, evicted = table.changed_since(version)
    assert updated.dtype == evicted.dtype == np.int64
    return updated.tolist(), evicted.tolist()


def test_every_way_in_and_out(make_table: MakeTable) -> None:
    table = make_table(max_rows=6, on_full="evict")
    table.find_or_insert(ints(1, 2, 3, 4, 5, 6))
    assert changes(table, 0) == ([1, 2, 3, 4, 5, 6], [])
    base = table.advance_version()
    assert table.version == base + 1
    assert changes(table, base) == ([], [])
    table.erase(ints(2, 99))
    table.apply_gradients(table.find(ints(1)), np.ones((1, 3), np.float32), step=5)
    assert changes(table, base) == ([1], [2])
    table.restrict(4)  # 6 goes
    table.assign(ints(3), np.ones((1, 3), np.float32))
    assert changes(table, base) == ([1, 3], [2, 6])
    table.expire(before_step=5)
    assert changes(table, base) == ([1], [2, 6, 3, 4, 5])
    table.find_or_insert(ints(7, 8, 9, 10, 11))
    table.find_or_insert(ints(12))  # 11 goes
    assert changes(table, base)[1] == [2, 6, 3, 4, 5, 11]
    second = table.advance_version()
    table.clear()
    # In row order: 12 came into the row that 11 had left, the first one freed.
    assert changes(table, second) == ([], [1, 12, 7, 8, 9, 10])
    assert changes(table, 0) == ([], changes(table, base)[1])


def test_a_key_that_comes_back_was_updated(make_table: MakeTable) -> None:
    table = make_table()
    table.find_or_insert(ints(1, 2))
    base = table.advance_version()
    table.erase(ints(1))
    table.find_or_insert(ints(1))
    assert changes(table, base) == ([1], [])
    between = table.advance_version()
    assert changes(table, between) == ([], [])
    table.erase(ints(1))
    later = table.advance_version()
    assert changes(table, base) == ([], [1])
    assert changes(table, between) == ([], [1])
    assert changes(table, later) == ([], [])
    # In and out in between: the receiver never had it, and is told all the same.
    table.find_or_insert(ints(50))
    table.erase(ints(50))
    assert changes(table, later) == ([], [50])


def test_rows_that_shrink_moved_keep_their_version(make_table: MakeTable) -> None:
    table = make_table()
    table.find_or_insert(ints(1, 2, 3, 4))
    base = table.advance_version()
    table.find_or_insert(ints(5))
    table.erase(ints(1, 2))
    table.shrink()  # 4 and 5 move into the rows of 1 and 2
    assert changes(table, base) == ([5], [1, 2])


def test_a_log_that_is_too_short_says_so(make_table: MakeTable) -> None:
    table = make_table(eviction_log=3, name="item")
    table.find_or_insert(np.arange(10, dtype=np.int64))
    first = table.advance_version()
    table.erase(ints(0, 1))
    second = table.advance_version()
    table.erase(ints(2))
    assert changes(table, first) == ([], [0, 1, 2])
    third = table.advance_version()
    table.erase(ints(3))
    assert changes(table, second) == ([], [2, 3])
    with pytest.raises(VersionError, match="table 'item'"):
        table.changed_since(first)
    assert len(table.export(since=first)) == 0
    table.erase(ints(4, 5, 6, 7))  # more at once than the log holds
    with pytest.raises(VersionError):
        table.changed_since(third)
    fourth = table.advance_version()
    assert changes(table, fourth) == ([], [])
    table.check()


def test_no_log(make_table: MakeTable) -> None:
    table = make_table(eviction_log=0)
    table.find_or_insert(ints(1, 2))
    base = table.advance_version()
    table.find_or_insert(ints(3))
    assert changes(table, base) == ([3], [])
    table.erase(ints(1))
    with pytest.raises(VersionError):
        table.changed_since(base)
    assert changes(table, table.advance_version()) == ([], [])


def test_messages() -> None:
    table = HashTable(2, name="item", eviction_log=1)
    with pytest.raises(VersionError, match=r"version 1 is not closed, the open one is 1; use"):
        table.changed_since(1)
    table.find_or_insert([1, 2, 3])
    base = table.advance_version()
    table.erase([1, 2])
    with pytest.raises(
        VersionError,
        match=r"table 'item': the keys removed since version 1 are no longer all known, those "
        r"since version 2 are; start over from a full export, or .* larger eviction_log",
    ):
        table.changed_since(base)
    assert issubclass(VersionError, LookupError)


def test_a_replica_follows_by_deltas() -> None:
    """Train, evict and insert at random; the receiver applies the changes only."""
    rng = np.random.default_rng(11)
    table = HashTable(2, max_rows=150, on_full="evict", initializer=Constant(value=0.5))
    replica: dict[int, list[float]] = {}
    version = 0
    for step in range(60):
        keys = rng.integers(0, 400, 60)
        rows = table.find_or_insert(keys)
        table.apply_gradients(rows, rng.normal(size=(60, 2)).astype(np.float32), step=step)
        if step % 7 == 0:
            table.restrict(100, policy="recency")
        if step % 5 == 0:
            table.erase(keys[:10])
        if step % 3 == 0:
            part = table.export(since=version)
            updated, evicted = table.changed_since(version)
            assert_array_equal(part.keys, updated)
            version = table.advance_version()
            assert not set(updated) & set(evicted)
            for key in evicted.tolist():
                replica.pop(key, None)
            replica.update(zip(part.keys.tolist(), part.values.tolist(), strict=True))
            whole = table.export()
            assert replica == dict(zip(whole.keys.tolist(), whole.values.tolist(), strict=True))


def test_a_refused_batch_logs_nothing() -> None:
    table = HashTable(2, max_rows=3, on_full="evict")
    table.find_or_insert([1, 2, 3])
    base = table.advance_version()
    with pytest.raises(TableFullError):
        table.find_or_insert([4, 5, 6, 7])
    assert changes(table, base) == ([], [])
