"""apply_gradients: duplicates, sources, scales, and parity with Keras' formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import SGD, Adagrad, Constant, HashTable, Optimizer, RowIndexError
from tests.kernels.conftest import MakeTable, floats, ints
from tests.kernels.every_optimizer import ALL
from tests.reference import ReferenceTable

OPTIMIZERS = list(ALL.values())


def test_sgd_by_hand(make_table: MakeTable) -> None:
    table = make_table(dim=2, optimizer=SGD(learning_rate=0.5), initializer=Constant(value=1.0))
    rows = table.find_or_insert(ints(7, 8, 7))
    table.apply_gradients(rows, floats([1, 2], [4, 4], [3, 0]))
    assert_array_equal(table.lookup(ints(7, 8)), floats([-1, 0], [-1, -1]))


def test_adagrad_is_keras_formula(make_table: MakeTable) -> None:
    """keras.optimizers.Adagrad.update_step on a variable whose every row is touched, in float32."""
    optimizer = Adagrad(learning_rate=0.3, initial_accumulator_value=0.2, epsilon=1e-5)
    table = make_table(dim=4, optimizer=optimizer)
    keys = np.arange(6, dtype=np.int64)
    rows = table.find_or_insert(keys)
    variable = table.lookup(keys)
    accumulator = np.full_like(variable, 0.2)
    rng = np.random.default_rng(1)
    for step in range(10):
        gradient = rng.normal(size=(6, 4)).astype(np.float32)
        accumulator = accumulator + np.square(gradient)
        root = np.sqrt(accumulator + np.float32(1e-5))
        variable = variable - np.float32(0.3) * gradient / root
        table.apply_gradients(rows, gradient, step=step)
    assert_array_equal(table.lookup(keys), variable)
    assert_array_equal(table.export().states, accumulator)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_untouched_rows_stay(make_table: MakeTable, optimizer: Optimizer) -> None:
    table = make_table(optimizer=optimizer)
    table.find_or_insert(ints(1, 2, 3))
    before = table.export()
    table.apply_gradients(ints(1, -1), np.ones((2, 3), np.float32), step=4)
    after = table.export()
    assert_array_equal(after.values[[0, 2]], before.values[[0, 2]])
    assert (after.values[1] != before.values[1]).all()
    assert_array_equal(after.frequency, [0, 1, 0])
    assert_array_equal(after.last_step, [0, 4, 0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_duplicates_are_summed_before_the_update(
    make_table: MakeTable, optimizer: Optimizer
) -> None:
    gradients = floats([1, 2, 3], [4, 5, 6], [7, 8, 9])
    apart, together = make_table(optimizer=optimizer), make_table(optimizer=optimizer)
    for table in (apart, together):
        table.find_or_insert(ints(1, 2))
    apart.apply_gradients(ints(1, 0, 1), gradients)
    together.apply_gradients(ints(0, 1), floats([4, 5, 6], [8, 10, 12]))
    assert_array_equal(apart.export().values, together.export().values)
    assert_array_equal(apart.export().states, together.export().states)
    assert_array_equal(apart.export().frequency, [1, 2])


def test_the_sum_is_in_order_of_position(make_table: MakeTable) -> None:
    # In float32 1e8 + 1 is 1e8: only the order (1e8 - 1e8) + 1 gives 1.
    table = make_table(dim=1, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=0.0))
    rows = table.find_or_insert(ints(3, 3, 3))
    table.apply_gradients(rows, floats([1e8], [-1e8], [1]))
    assert table.lookup(ints(3))[0, 0] == -1
    table.apply_gradients(rows, floats([1e8], [1], [-1e8]))
    assert table.lookup(ints(3))[0, 0] == -1


def test_source_and_scale(make_table: MakeTable) -> None:
    table = make_table(dim=2, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=0.0))
    rows = table.find_or_insert(ints(5, 6, 5))
    gradients = np.full((2, 4), np.nan, np.float32)
    gradients[:, 1:3] = [[1, 2], [10, 20]]
    source, scale = ints(1, 0, 0), floats(0.5, 2, 1)
    table.apply_gradients(rows, gradients[:, 1:3], source=source, scale=scale, learning_rate=2.0)
    assert_array_equal(table.lookup(ints(5, 6)), floats([-12, -24], [-4, -8]))


def test_learning_rate_zero_moves_nothing_but_counts(make_table: MakeTable) -> None:
    table = make_table(optimizer=SGD(learning_rate=1.0))
    rows = table.find_or_insert(ints(1))
    before = table.lookup(ints(1))
    table.apply_gradients(rows, np.ones((1, 3), np.float32), learning_rate=0.0, step=2**32 - 1)
    assert_array_equal(table.lookup(ints(1)), before)
    assert table.export().last_step[0] == 2**32 - 1
    assert table.export().frequency[0] == 1


def test_nan_gradients_reach_their_row_only(make_table: MakeTable) -> None:
    table = make_table(dim=1, initializer=Constant(value=1.0))
    rows = table.find_or_insert(ints(1, 2))
    table.apply_gradients(rows, floats([np.nan], [1]))
    assert_array_equal(np.isnan(table.lookup(ints(1, 2)))[:, 0], [True, False])


def test_bad_rows_change_nothing(make_table: MakeTable) -> None:
    table = make_table()
    table.find_or_insert(ints(1, 2, 3))
    table.erase(ints(2))
    before = table.export()
    ones = np.ones((3, 3), np.float32)
    with pytest.raises(RowIndexError, match=r"rows\[2\] is 3"):
        table.apply_gradients(ints(0, -1, 3), ones)
    with pytest.raises(RowIndexError, match=r"rows\[1\] is 1.*erased"):
        table.apply_gradients(ints(0, 1, 2), ones)
    with pytest.raises(RowIndexError, match=r"source\[1\] is 3"):
        table.apply_gradients(ints(0, 2), ones, source=ints(0, 3))
    with pytest.raises(RowIndexError, match=r"source\[0\] is -1"):
        table.apply_gradients(ints(0, 2), ones, source=ints(-1, 0))
    assert_array_equal(table.export().values, before.values)
    assert_array_equal(table.export().frequency, before.frequency)


@given(
    rows=st.lists(st.integers(-1, 7), max_size=40),
    optimizer=st.sampled_from(OPTIMIZERS),
    seed=st.integers(0, 2**16),
    dim=st.integers(1, 20),
)
def test_equals_the_reference_bit_for_bit(
    rows: list[int], optimizer: Optimizer, seed: int, dim: int
) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(9, dim)).astype(np.float32)
    source = rng.integers(0, 9, len(rows))
    scale = rng.normal(size=len(rows)).astype(np.float32)
    tables = HashTable(dim, optimizer=optimizer), ReferenceTable(dim, optimizer=optimizer)
    for table in tables:
        table.find_or_insert(np.arange(8, dtype=np.int64))
        table.apply_gradients(ints(*rows), gradients, source=source, scale=scale, step=3)
    for ours, theirs in zip(
        vars(tables[0].export()).values(), vars(tables[1].export()).values(), strict=True
    ):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("rows_used", [2, 2047, 2048, 2049, 5000])
def test_large_batches_take_the_radix_sort(rows_used: int) -> None:
    rng = np.random.default_rng(rows_used)
    keys = rng.integers(0, rows_used, 20000)
    gradients = rng.normal(size=(20000, 2)).astype(np.float32)
    tables = HashTable(2), ReferenceTable(2)
    for table in tables:
        rows = table.find_or_insert(keys)
        table.apply_gradients(rows, gradients)
    ours, theirs = tables[0].export(), tables[1].export()
    assert_array_equal(ours.values, theirs.values)
    assert_array_equal(ours.frequency, np.bincount(rows))
