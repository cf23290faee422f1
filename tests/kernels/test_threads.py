"""The number of threads: no result depends on it, not one bit, and a fork does not hang."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import Adagrad, ConfigError, HashTable, Normal, RowIndexError
from tests.kernels.conftest import ints

THREADS = [1, 2, 7]


def use(table: HashTable, seed: int, count: int) -> list[Any]:
    """Some of everything; returns every array that came out."""
    rng = np.random.default_rng(seed)
    out: list[Any] = []
    for step in range(4):
        keys = rng.zipf(1.2, count) % 5000 - 100
        rows = table.find_or_insert(keys)
        gradients = rng.normal(size=(count, table.dim)).astype(np.float32)
        table.apply_gradients(rows, gradients, step=step)
        offsets = np.unique(np.concatenate([[0, count], rng.integers(0, count + 1, 50)]))
        out += [rows, table.gather_pooled(rows, offsets, combiner="mean")]
        out += [table.erase(keys[::7]), table.find(keys), table.lookup(keys + 1)]
        values = rng.normal(size=(count, table.dim)).astype(np.float32)
        table.assign(rng.integers(-200, 3000, count), values)
        table.check()
    out += [table.keys(), *vars(table.export()).values(), table.export(3, 900, since=1).values]
    usage = table.memory_usage()  # scratch apart: there is a row of it for each thread
    return [*out, table.size, table.row_limit, usage.index, usage.rows, usage.metadata]


@pytest.mark.parametrize("hash_bits", [5, 64])
def test_every_number_of_threads_gives_the_same_bits(hash_bits: int) -> None:
    results = []
    for threads in THREADS:
        table = HashTable(
            5,
            optimizer=Adagrad(learning_rate=0.1),
            initializer=Normal(),
            threads=threads,
            _grain=10,
            _hash_bits=hash_bits,
        )
        results.append(use(table, seed=1, count=500 if hash_bits < 64 else 3000))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert_array_equal(one, two)


@pytest.mark.parametrize("threads", THREADS)
def test_growth_by_large_batches(threads: int) -> None:
    """Batches above the default part: the index grows, classes of chunks at a time."""
    table = HashTable(4, threads=threads)
    keys = np.random.default_rng(2).permutation(np.arange(-60_000, 60_000))
    for batch in np.array_split(keys, 7):
        before = table.size
        doubled = np.concatenate([batch, batch[::-1]])
        rows = table.find_or_insert(doubled)
        assert_array_equal(rows[: len(batch)], np.arange(before, table.size))
        assert_array_equal(rows[len(batch) :], rows[: len(batch)][::-1])
        table.check()
    assert_array_equal(table.find(keys), np.arange(120_000))
    table.erase(keys[::2])
    table.find_or_insert(keys + 1_000_000)
    table.check()
    assert_array_equal(table.find(keys) < 0, np.arange(120_000) % 2 == 0)


@given(keys=st.lists(st.integers(-5, 12), max_size=60), grain=st.integers(1, 5))
def test_the_last_of_equal_keys_wins(keys: list[int], grain: int) -> None:
    table = HashTable(2, threads=7, _grain=grain)
    values = np.arange(2 * len(keys), dtype=np.float32).reshape(-1, 2)
    table.assign(ints(*keys), values)
    expected = dict(zip(keys, values.tolist(), strict=True))
    assert table.lookup(ints(*expected)).tolist() == list(expected.values())


def test_the_first_bad_row_is_named() -> None:
    table = HashTable(2, threads=7, _grain=2)
    table.find_or_insert(np.arange(40))
    rows = np.arange(40)
    rows[[11, 25, 39]] = [77, -5, 99]
    with pytest.raises(RowIndexError, match=r"rows\[11\] is 77"):
        table.gather(rows)
    with pytest.raises(RowIndexError, match=r"rows\[11\] is 77"):
        table.apply_gradients(rows, np.ones((40, 2), np.float32))


def test_tables_share_the_pool() -> None:
    """Calls on several tables at a time: one has the pool, the others do without."""
    tables = [HashTable(3, threads=3, _grain=5) for _ in range(4)]
    batches = np.random.default_rng(3).integers(0, 2000, (30, 400))

    def work(table: HashTable) -> None:
        for batch in batches:
            table.find_or_insert(batch)
            table.lookup(batch)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, tables))
    for table in tables:
        table.check()
        assert_array_equal(table.keys(), tables[0].keys())


def test_a_forked_child_has_threads_of_its_own() -> None:
    script = """
        import os, warnings
        import numpy as np
        from emberline.kernels import HashTable
        warnings.simplefilter("ignore")  # newer Pythons warn of any fork beside threads
        keys = np.arange(5000)
        table = HashTable(3, threads=3, _grain=10)
        rows = table.find_or_insert(keys)
        child = os.fork()
        table.find_or_insert(keys + 3000)
        assert (table.find(keys) == rows).all() and table.size == 8000
        if child == 0:
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stdout.strip() == "7", result.stderr


def test_the_setting() -> None:
    assert HashTable(2, threads=3).threads == 3
    assert HashTable(2).threads >= 1
    assert HashTable.from_config(HashTable(2).config(), threads=2).threads == 2
    with pytest.raises(ConfigError, match="threads is 0; expected 1 to 256"):
        HashTable(2, threads=0)
    wrong: Any = 2.5
    with pytest.raises(ConfigError, match=r"threads is 2\.5; expected an integer"):
        HashTable(2, threads=wrong)
