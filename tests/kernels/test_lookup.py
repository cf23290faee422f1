"""find, find_or_insert, lookup, gather, erase: the same on every backend."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import Adagrad, Constant, RowIndexError, TableFullError, Uniform
from tests.kernels.conftest import MakeTable, floats, ints
from tests.reference import initial_weights

INT64 = np.iinfo(np.int64)
SIZES = [0, 1, 5, 6, 7, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025]


def test_find_never_inserts(make_table: MakeTable) -> None:
    table = make_table()
    assert_array_equal(table.find(ints(1, 2, 1)), ints(-1, -1, -1))
    table.find_or_insert(ints(2))
    assert_array_equal(table.find(ints(1, 2)), ints(-1, 0))
    assert table.size == 1


def test_rows_are_ranks_of_first_occurrence(make_table: MakeTable) -> None:
    table = make_table()
    assert_array_equal(table.find_or_insert(ints(9, 4, 9, 7, 4)), ints(0, 1, 0, 2, 1))
    assert_array_equal(table.find_or_insert(ints(5, 7, 6, 5)), ints(3, 2, 4, 3))
    assert_array_equal(table.keys(), ints(9, 4, 7, 5, 6))


def test_empty_batches(make_table: MakeTable) -> None:
    table = make_table()
    none = np.empty(0, np.int64)
    assert table.find(none).shape == (0,)
    assert table.find_or_insert(none).shape == (0,)
    assert table.lookup(none).shape == (0, 3)
    assert table.gather(none).shape == (0, 3)
    assert table.erase(none) == 0
    table.apply_gradients(none, np.empty((0, 3), np.float32))
    table.assign(none, np.empty((0, 3), np.float32))
    assert table.keys().shape == (0,)
    assert len(table.export().keys) == 0
    assert table.size == table.row_limit == 0


@pytest.mark.parametrize("count", SIZES)
def test_sizes_around_powers_of_two(make_table: MakeTable, count: int) -> None:
    table = make_table()
    keys = np.arange(count, dtype=np.int64) * 7 - 3 * count
    assert_array_equal(table.find_or_insert(keys), np.arange(count))
    assert_array_equal(table.find(keys[::-1].copy()), np.arange(count)[::-1])
    assert_array_equal(table.keys(), keys)
    assert table.size == table.row_limit == count
    table.check()


def test_any_int64_is_a_key(make_table: MakeTable) -> None:
    table = make_table()
    keys = ints(INT64.min, INT64.max, 0, -1, 1, INT64.min + 1, INT64.max - 1)
    assert_array_equal(table.find_or_insert(keys), np.arange(7))
    assert_array_equal(table.find(keys), np.arange(7))
    expected = [initial_weights(Uniform(), 0, int(key), 3) for key in keys]
    assert_array_equal(table.lookup(keys), expected)
    assert table.erase(keys) == 7
    table.check()


def test_batch_of_one_key(make_table: MakeTable) -> None:
    table = make_table()
    rows = table.find_or_insert(np.full(5000, -8, np.int64))
    assert_array_equal(rows, np.zeros(5000))
    assert table.size == 1


def test_lookup_of_absent_keys(make_table: MakeTable) -> None:
    table = make_table(initializer=Constant(value=2.0))
    table.assign(ints(1), floats([5, 6, 7]))
    assert_array_equal(table.lookup(ints(1, 2)), floats([5, 6, 7], [2, 2, 2]))
    assert_array_equal(table.lookup(ints(2, 1), missing="zeros"), floats([0, 0, 0], [5, 6, 7]))
    assert table.size == 1


def test_lookup_gives_what_an_insert_would(make_table: MakeTable) -> None:
    table = make_table(dim=7, seed=5)
    keys = np.arange(-50, 50, dtype=np.int64)
    before = table.lookup(keys)
    assert_array_equal(table.gather(table.find_or_insert(keys)), before)


def test_gather(make_table: MakeTable) -> None:
    table = make_table(initializer=Constant(value=1.0))
    table.find_or_insert(ints(10, 20))
    expected = floats([1, 1, 1], [0, 0, 0], [1, 1, 1])
    assert_array_equal(table.gather(ints(1, -1, 0)), expected)


@pytest.mark.parametrize("row", [-2, 2, 2**32, INT64.min, INT64.max])
def test_gather_of_no_row(make_table: MakeTable, row: int) -> None:
    table = make_table()
    table.find_or_insert(ints(10, 20))
    out = np.full((2, 3), np.nan, np.float32)
    with pytest.raises(RowIndexError, match=rf"rows\[1\] is {row}\b"):
        table.gather(ints(0, row), out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("dim", [1, 2, 7, 8, 16, 33, 64, 129])
def test_output_rows_may_lie_apart(make_table: MakeTable, dim: int) -> None:
    table = make_table(dim=dim)
    keys = np.arange(20, dtype=np.int64)
    rows = table.find_or_insert(keys)
    wide = np.full((20, 2 * dim + 3), np.nan, np.float32)
    first, second = wide[:, 1 : dim + 1], wide[:, dim + 2 : 2 * dim + 2]
    assert table.gather(rows, out=first) is first
    assert table.lookup(keys[::-1].copy(), out=second) is second
    assert_array_equal(first, table.lookup(keys))
    assert_array_equal(second, first[::-1])
    assert np.isnan(wide[:, [0, dim + 1, 2 * dim + 2]]).all()


def test_keys_in_the_order_of_their_rows(make_table: MakeTable) -> None:
    """Erased and strange keys within a run, and keys that come twice, are told apart from it."""
    table = make_table(dim=1)
    keys = np.random.default_rng(1).permutation(2_000)
    rows = table.find_or_insert(keys)
    erased = np.arange(150, 2_000, 111)
    table.erase(keys[erased])
    expected = rows.copy()
    expected[erased] = -1
    assert_array_equal(table.find(keys), expected)
    queries = keys.copy()
    queries[[300, 777]] = ints(-5, 999_999)
    queries[500:510] = keys[499]
    expected[[300, 777]] = -1
    expected[500:510] = rows[499]
    assert_array_equal(table.find(queries), expected)
    values = np.arange(2_000, dtype=np.float32)[:, None]
    table.assign(queries, values)
    assert_array_equal(table.lookup(queries)[:499], values[:499])
    assert table.lookup(ints(int(keys[499]))) == 509
    assert_array_equal(table.lookup(queries)[500:510], np.full((10, 1), 509, np.float32))
    assert_array_equal(table.lookup(queries)[510:], values[510:])


def test_erase(make_table: MakeTable) -> None:
    table = make_table()
    table.find_or_insert(ints(1, 2, 3, 4))
    assert table.erase(ints(3, 9, 1, 3)) == 2
    assert_array_equal(table.find(ints(1, 2, 3, 4)), ints(-1, 1, -1, 3))
    assert table.size == 2
    with pytest.raises(RowIndexError, match=r"rows\[0\] is 2.*erased"):
        table.gather(ints(2))
    table.check()


def test_erased_rows_are_reused_the_last_one_first(make_table: MakeTable) -> None:
    table = make_table()
    table.find_or_insert(ints(1, 2, 3, 4))
    table.erase(ints(2, 4))
    assert_array_equal(table.find_or_insert(ints(5, 6, 7)), ints(3, 1, 4))
    assert table.row_limit == 5
    table.check()


def test_an_erased_key_starts_anew(make_table: MakeTable) -> None:
    table = make_table(optimizer=Adagrad(learning_rate=0.5), seed=3)
    keys = ints(8, -8)
    fresh = table.lookup(keys)
    rows = table.find_or_insert(keys)
    table.apply_gradients(rows, np.ones((2, 3), np.float32), step=7)
    assert (table.lookup(keys) != fresh).all()
    table.erase(keys)
    assert_array_equal(table.lookup(keys), fresh)
    table.find_or_insert(keys)
    export = table.export()
    assert_array_equal(table.lookup(keys), fresh)
    assert_array_equal(export.states, np.full((2, 3), 0.1, np.float32))
    assert_array_equal(export.frequency, [0, 0])
    assert_array_equal(export.last_step, [0, 0])


def test_a_full_table_is_unchanged(make_table: MakeTable) -> None:
    table = make_table(max_rows=3, name="user")
    table.find_or_insert(ints(1, 2))
    with pytest.raises(TableFullError, match=r"'user' is full.*max_rows is 3"):
        table.find_or_insert(ints(3, 1, 4))
    with pytest.raises(TableFullError, match="max_rows is 3"):
        table.assign(ints(1, 3, 4), np.ones((3, 3), np.float32))
    assert table.size == table.row_limit == 2
    assert_array_equal(table.find(ints(1, 2, 3, 4)), ints(0, 1, -1, -1))
    assert_array_equal(table.lookup(ints(1))[0], initial_weights(Uniform(), 0, 1, 3))
    assert_array_equal(table.find_or_insert(ints(3, 3, 1)), ints(2, 2, 0))
    table.erase(ints(1))
    assert_array_equal(table.find_or_insert(ints(4)), ints(0))
    table.check()


def test_clear(make_table: MakeTable) -> None:
    table = make_table()
    table.find_or_insert(np.arange(1000, dtype=np.int64))
    table.erase(ints(5))
    table.clear()
    assert table.size == table.row_limit == 0
    assert_array_equal(table.find(ints(4)), ints(-1))
    table.check()
    assert_array_equal(table.find_or_insert(ints(44, 4)), ints(0, 1))
