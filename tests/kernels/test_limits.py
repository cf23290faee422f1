"""Where a table ends: memory refused at every point, the last row number, `max_rows`."""

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import Adagrad, ArrayShapeError, HashTable, TableFullError
from tests.kernels.conftest import MakeTable, ints

LIMITED = """
    import os, resource, sys
    import numpy as np
    from emberline.kernels import Adagrad, HashTable, TableFullError, TableRange

    table = HashTable(8, optimizer=Adagrad(), threads=int(sys.argv[2]), name="small")
    table.find_or_insert(np.arange(1000))  # the pool's threads have their stacks now
    table.erase(np.arange(0, 1000, 3))
    keys = np.arange(-200_000, 200_000)
    count = len(keys)
    values = np.zeros((count, 8), np.float32)
    zeros = np.zeros(count, np.uint32)
    attempts = {
        "find_or_insert": lambda: table.find_or_insert(keys),
        "assign": lambda: table.assign(keys, values),
        "import_": lambda: table.import_(TableRange(keys, values, values, zeros, zeros)),
        "reserve": lambda: table.reserve(400_000),
    }
    attempt = attempts[sys.argv[1]]
    before = vars(table.export())
    size, limit = table.size, table.row_limit
    page = resource.getpagesize()
    refused = 0
    # From no room at all upwards, so that each allocation is the first one refused in turn.
    for extra in range(0, 256 << 20, 1 << 20):
        used = int(open("/proc/self/statm").read().split()[0]) * page
        resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))
        try:
            attempt()
        except MemoryError as error:
            refused += isinstance(error, TableFullError)
            failed = True
        else:
            failed = False
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        table.check()
        if not failed:
            break
        assert (table.size, table.row_limit) == (size, limit), extra
        for name, column in vars(table.export()).items():
            assert np.array_equal(column, before[name]), (extra, name)
    assert not failed, "it never had room"
    if sys.argv[1] != "reserve":
        assert (table.find(keys) >= 0).all()
    print(refused)
"""


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("method", ["find_or_insert", "assign", "import_", "reserve"])
def test_memory_refused_at_any_point_changes_nothing(method: str, threads: int) -> None:
    """In a process whose address space ends a megabyte later each time, until it is enough."""
    script = textwrap.dedent(LIMITED)
    result = subprocess.run(
        [sys.executable, "-c", script, method, str(threads)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 10  # an index of 12 MB and rows of 38 MB were refused


def test_the_most_rows_of_all_are_refused_for_memory_not_by_a_crash() -> None:
    """2^32 - 2 rows are allowed by `max_rows`; their hundreds of gigabytes are not there."""
    script = """
        import resource
        from emberline.kernels import HashTable, TableFullError
        table = HashTable(4096)
        table.find_or_insert([1, 2])
        resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
        try:
            table.reserve(2**32 - 2)
        except TableFullError as error:
            assert "refused memory for 4294967292 more" in str(error), error
            table.check()
            print(table.find([2, 1, 3]).tolist())
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[1, 0, -1]", result.stderr


def test_max_rows_is_exact(make_table: MakeTable) -> None:
    table = make_table(max_rows=5)
    assert_array_equal(table.find_or_insert(ints(1, 2, 3, 3, 1)), [0, 1, 2, 2, 0])
    # Three distinct new keys and room for two: none of them gets in.
    with pytest.raises(TableFullError, match="'table' is full"):
        table.find_or_insert(ints(1, 7, 8, 9))
    assert_array_equal(table.find(ints(7, 8, 9, 1)), [-1, -1, -1, 0])
    table.find_or_insert(ints(7, 8, 7, 1))
    # Full, but nothing new is asked for; then one leaves and one comes.
    assert_array_equal(table.find_or_insert(ints(8, 1, 8)), [4, 0, 4])
    assert table.erase(ints(2)) == 1
    assert_array_equal(table.find_or_insert(ints(9)), [1])
    with pytest.raises(TableFullError):
        table.assign(ints(10), np.ones((1, 3), np.float32))
    assert table.size == 5
    table.check()


def test_an_output_whose_rows_overlap_is_refused() -> None:
    table = HashTable(4)
    out = np.lib.stride_tricks.as_strided(np.zeros(12, np.float32), (3, 4), (8, 4))
    with pytest.raises(ArrayShapeError, match=r"strides \(8, 4\) bytes; expected .* 16 bytes"):
        table.lookup(ints(1, 2, 3), out=out)


def by_key(table: HashTable) -> dict[int, tuple[bytes, ...]]:
    """Key -> the bits of its row: what does not depend on row numbers."""
    rows = table.export()
    columns = (rows.values, rows.states, rows.frequency, rows.last_step)
    return {
        int(key): tuple(column[i].tobytes() for column in columns)
        for i, key in enumerate(rows.keys)
    }


def train(table: HashTable, keys: np.ndarray, step: int) -> None:
    """A gradient that is a function of key and step alone."""
    rows = table.find_or_insert(keys)
    gradients = np.stack([np.sin(keys * (lane + 1.0) + step) for lane in range(table.dim)], axis=1)
    table.apply_gradients(rows, gradients.astype(np.float32), step=step)


def test_a_key_that_comes_back_is_as_new() -> None:
    """Erased after training and seen again: the bits of a table that never knew it before."""
    settings: dict[str, Any] = {"optimizer": Adagrad(learning_rate=0.1), "seed": 3}
    returned, fresh = HashTable(5, **settings), HashTable(5, **settings)
    keys = np.arange(-50, 50)
    for step in range(3):
        train(returned, keys, step)
    returned.erase(keys[::-1])
    for table in (returned, fresh):
        train(table, keys[20:], 9)
    assert by_key(returned) == by_key(fresh)
    returned.check()


@pytest.mark.parametrize("hash_bits", [0, 4])
def test_neither_order_nor_hash_shows_in_the_rows(hash_bits: int) -> None:
    settings: dict[str, Any] = {"optimizer": Adagrad(learning_rate=0.1), "seed": 4}
    keys = np.random.default_rng(0).permutation(np.arange(-150, 150))
    one, other = HashTable(3, **settings), HashTable(3, _hash_bits=hash_bits, **settings)
    train(one, keys, 1)
    for part in np.array_split(np.sort(keys), 9):
        train(other, part, 1)
    assert by_key(one) == by_key(other)


def test_saved_and_loaded_in_the_middle_is_the_same_training() -> None:
    """The copy has another hash, other threads, other row numbers; the bits are the same."""
    settings: dict[str, Any] = {"optimizer": Adagrad(learning_rate=0.1), "seed": 5}
    straight = HashTable(4, threads=1, **settings)
    other = HashTable(4, threads=3, _grain=7, _hash_bits=3, **settings)
    rng = np.random.default_rng(1)
    batches = [np.unique(rng.integers(-200, 200, 150)) for _ in range(8)]
    for step, batch in enumerate(batches[:4]):
        train(straight, batch, step)
    for start in reversed(range(0, straight.row_limit, 30)):
        other.import_(straight.export(start, start + 30))
    assert by_key(other) == by_key(straight)
    for step, batch in enumerate(batches[4:]):
        train(straight, batch, 4 + step)
        train(other, batch, 4 + step)
        straight.erase(batch[::5])
        other.erase(batch[::5])
    assert by_key(other) == by_key(straight)
    other.check()
