"""Growth, collisions and memory: rows stay, results do not depend on how a table grew."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import Adagrad, HashTable, TableFullError
from tests.kernels.conftest import MakeTable, ints


def test_grown_equals_presized() -> None:
    rng = np.random.default_rng(2)
    grown, presized = HashTable(5), HashTable(5, capacity=30_000)
    for _ in range(20):
        keys = rng.integers(-(2**63), 2**63 - 1, 1500)
        keys[::3] = rng.integers(0, 1000, 500)
        rows = [table.find_or_insert(keys) for table in (grown, presized)]
        assert_array_equal(rows[0], rows[1])
        gradients = rng.normal(size=(1500, 5)).astype(np.float32)
        for table in (grown, presized):
            table.apply_gradients(rows[0], gradients)
    ours, theirs = grown.export(), presized.export()
    assert_array_equal(ours.keys, theirs.keys)
    assert_array_equal(ours.values, theirs.values)
    grown.check()


def test_the_split_into_batches_does_not_matter() -> None:
    keys = np.random.default_rng(3).integers(0, 5000, 20_000)
    whole, split = HashTable(2), HashTable(2)
    rows = whole.find_or_insert(keys)
    parts = [split.find_or_insert(part) for part in np.array_split(keys, 77)]
    assert_array_equal(rows, np.concatenate(parts))
    assert_array_equal(whole.keys(), split.keys())


def test_growth_within_one_batch_keeps_old_rows(make_table: MakeTable) -> None:
    table = make_table(optimizer=Adagrad(learning_rate=0.1))
    old = np.arange(5, dtype=np.int64)
    rows = table.find_or_insert(old)
    table.apply_gradients(rows, np.ones((5, 3), np.float32))
    before = table.lookup(old)
    assert_array_equal(table.find_or_insert(np.arange(3000, dtype=np.int64)), np.arange(3000))
    assert_array_equal(table.gather(rows), before)
    table.check()


@pytest.mark.parametrize("hash_bits", [0, 1, 3])
def test_colliding_keys(make_table: MakeTable, hash_bits: int) -> None:
    table = make_table(_hash_bits=hash_bits)
    keys = np.arange(-100, 100, dtype=np.int64)
    assert_array_equal(table.find_or_insert(keys), np.arange(200))
    table.erase(keys[::2])
    table.check()
    assert_array_equal(table.find(keys), np.where(np.arange(200) % 2, np.arange(200), -1))
    table.find_or_insert(keys[::-1].copy())
    table.check()
    assert table.size == table.row_limit == 200


def test_churn_does_not_grow_the_index() -> None:
    table = HashTable(2)
    for start in range(0, 40_000, 100):
        keys = np.arange(start, start + 100, dtype=np.int64)
        table.find_or_insert(keys)
        table.erase(keys - 300)
        assert table.size <= 300
    table.check()
    assert table.row_limit <= 400
    # 400 keys at once need 67 chunks of six: 128 chunks, or twice that against early rebuilds.
    assert table.memory_usage().index <= 256 * 128


def test_many_slabs() -> None:
    table = HashTable(3000)  # 256 rows in a slab
    keys = np.arange(1500, dtype=np.int64)
    first = table.find_or_insert(keys[:10])
    before = table.gather(first)
    rows = table.find_or_insert(keys)
    assert_array_equal(table.gather(first), before)
    assert_array_equal(table.gather(rows), HashTable(3000).lookup(keys))
    usage = table.memory_usage()
    assert usage.total == usage.index + usage.rows + usage.metadata + usage.scratch
    assert 1500 * 3000 * 4 <= usage.rows < 2 * 1500 * 3000 * 4


def test_reserve_makes_room() -> None:
    table = HashTable(4)
    table.reserve(10_000)
    before = table.memory_usage()
    table.find_or_insert(np.arange(10_000, dtype=np.int64))
    after = table.memory_usage()
    assert (before.index, before.rows) == (after.index, after.rows)
    table.clear()
    assert table.memory_usage().index == 4096
    assert table.memory_usage().rows == 0


def test_reserve_beyond_the_limit() -> None:
    with pytest.raises(TableFullError, match="max_rows is 10"):
        HashTable(4, capacity=11, max_rows=10)
    table = HashTable(4, capacity=10, max_rows=10)
    with pytest.raises(TableFullError, match="'table' is full: it holds 0 rows, 11 more"):
        table.reserve(11)


def test_out_of_memory_changes_nothing() -> None:
    """In a process whose address space is limited, for the system itself promises too much."""
    script = """
        import resource
        import numpy as np
        from emberline.kernels import HashTable, TableFullError
        table = HashTable(1024, name="big")
        keys = np.arange(2_000_000)
        table.find_or_insert(keys[:100])
        before = table.export()
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = used + (1 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for attempt in (lambda: table.find_or_insert(keys), lambda: table.reserve(10**9)):
            try:
                attempt()
            except TableFullError as error:
                assert "'big' is out of memory: it holds 100 rows" in str(error), error
            else:
                raise SystemExit("no error")
        assert len(table) == table.row_limit == 100
        assert (table.export().values == before.values).all()
        table.check()
        assert table.find_or_insert(keys[99:102]).tolist() == [99, 100, 101]
        print("unchanged")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "unchanged", result.stderr


def test_calls_from_many_threads() -> None:
    table = HashTable(8)
    keys = np.random.default_rng(4).integers(0, 4000, (64, 500))

    def work(batch: np.ndarray) -> bool:
        rows = table.find_or_insert(batch)
        table.apply_gradients(rows, np.zeros((500, 8), np.float32))
        return bool((table.lookup(batch) == table.gather(table.find(batch))).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, keys))
    table.check()
    assert table.size == len(np.unique(keys))
    assert table.export().frequency.sum() == keys.size


@pytest.mark.slow
def test_a_million_random_operations_against_a_dict() -> None:
    rng = np.random.default_rng(5)
    table, expected = HashTable(1), dict[int, float]()
    done = 0
    while done < 1_000_000:
        count = int(rng.integers(1, 400))
        keys = rng.integers(-3000, 3000, count)
        kind = rng.integers(0, 4)
        if kind == 0:
            known = len(expected.keys() & set(keys.tolist()))
            assert table.erase(keys) == known
            for key in keys.tolist():
                expected.pop(key, None)
        elif kind == 1:
            values = rng.normal(size=(count, 1)).astype(np.float32)
            table.assign(keys, values)
            expected.update(zip(keys.tolist(), values[:, 0].tolist(), strict=True))
        else:
            found = table.lookup(keys, missing="zeros")[:, 0].tolist()
            assert found == [expected.get(key, 0.0) for key in keys.tolist()]
        done += count
    table.check()
    assert dict(zip(table.keys().tolist(), table.export().values[:, 0].tolist(), strict=True)) == (
        expected
    )


def test_erase_of_everything_and_again() -> None:
    table = HashTable(2, _hash_bits=4)
    keys = np.arange(300, dtype=np.int64)
    for _ in range(5):
        table.find_or_insert(keys)
        assert table.erase(keys) == 300
        table.check()
    assert len(table) == 0
    assert table.row_limit == 300
    assert_array_equal(table.find(ints(0, 299)), ints(-1, -1))
