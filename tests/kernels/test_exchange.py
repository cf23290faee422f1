"""assign, export, import_, versions: whole rows in and out."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Adagrad,
    ArrayShapeError,
    ArrayTypeError,
    ConfigError,
    Constant,
    CountAdmission,
    HashTable,
    TableFullError,
    TableRange,
)
from tests.kernels.conftest import MakeTable, Table, floats, ints


def trained(make_table: MakeTable, **settings: object) -> Table:
    table = make_table(optimizer=Adagrad(learning_rate=0.1), **settings)
    rng = np.random.default_rng(0)
    for step in range(5):
        rows = table.find_or_insert(rng.integers(-40, 40, 60))
        table.apply_gradients(rows, rng.normal(size=(60, 3)).astype(np.float32), step=step)
    table.erase(np.arange(0, 40, 5))
    return table


def assert_equal_ranges(ours: TableRange, theirs: TableRange) -> None:
    for name, array in vars(ours).items():
        assert_array_equal(array, getattr(theirs, name), err_msg=name, strict=True)


def test_assign(make_table: MakeTable) -> None:
    table = make_table(dim=2, optimizer=Adagrad())
    table.assign(ints(1, 2, 1), floats([1, 1], [2, 2], [3, 3]))
    assert_array_equal(table.lookup(ints(1, 2)), floats([3, 3], [2, 2]))
    assert_array_equal(table.export().states, np.full((2, 2), 0.1, np.float32))
    table.assign(ints(2), floats([5, 5]), floats([9, 8]))
    table.assign(ints(2), floats([6, 6]))
    assert_array_equal(table.export().states[1], floats(9, 8))
    assert_array_equal(table.lookup(ints(2)), floats([6, 6]))


def test_add(make_table: MakeTable) -> None:
    table = make_table(dim=2, optimizer=Adagrad(), initializer=Constant(value=0.5))
    table.assign(ints(1), floats([1, 2]), floats([7, 8]))
    table.add(ints(1, 2, 1), floats([10, 20], [3, 4], [100, 200]))
    assert_array_equal(table.lookup(ints(1, 2)), floats([111, 222], [3.5, 4.5]))
    assert_array_equal(table.export().states, floats([7, 8], [0.1, 0.1]))
    assert_array_equal(table.export().frequency, [0, 0])
    table.add(ints(3, 2, 3), floats([1, 1], [1, 1], [2, 2]), missing="zeros")
    assert_array_equal(table.lookup(ints(2, 3)), floats([4.5, 5.5], [3, 3]))
    version = table.advance_version()
    table.add(ints(2), floats([0, 0]))
    assert_array_equal(table.changed_since(version).updated, ints(2))
    table.check()


def test_add_is_the_same_for_present_and_absent_keys(make_table: MakeTable) -> None:
    table = make_table(seed=4)
    keys = ints(5, -6, 5)
    table.find_or_insert(ints(5))
    before, added = table.lookup(keys), floats([1, 2, 3], [4, 5, 6], [0, 0, 0])
    table.add(keys, added)
    assert_array_equal(table.lookup(keys)[:2], before[:2] + added[:2])


def test_add_sums_in_the_order_of_positions(make_table: MakeTable) -> None:
    table = make_table(dim=1)
    keys = np.zeros(401, np.int64)
    values = np.full((401, 1), 1.0, np.float32)
    values[0] = 2**24  # from here on adding 1 changes nothing; in another order it would
    table.add(keys, values, missing="zeros")
    assert_array_equal(table.lookup(ints(0)), floats([2**24]))


def test_add_to_a_full_table_changes_nothing(make_table: MakeTable) -> None:
    table = make_table(max_rows=1, initializer=Constant(value=0.5))
    table.add(ints(1), floats([1, 1, 1]))
    with pytest.raises(TableFullError, match="max_rows is 1"):
        table.add(ints(1, 2), floats([1, 1, 1], [1, 1, 1]))
    assert_array_equal(table.lookup(ints(1)), floats([1.5, 1.5, 1.5]))


def test_add_does_not_ask_admission(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=3))
    table.find_or_insert(ints(1, 1, 2))
    table.add(ints(1), floats([1, 1, 1]))
    assert_array_equal(table.find(ints(1, 2)), ints(0, -1))
    assert_array_equal(table.export_policy_state().candidate_keys, ints(2))
    table.check()


def test_bad_additions() -> None:
    table = HashTable(2)
    with pytest.raises(ConfigError, match="missing is 'zero'; expected 'initial' or 'zeros'"):
        table.add([1], floats([1, 1]), missing="zero")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ArrayShapeError, match=r"values has shape \[1, 3\]; expected \[1, 2\]"):
        table.add([1], floats([1, 1, 1]))
    assert len(table) == 0


def test_export_covers_the_table_in_ranges(make_table: MakeTable) -> None:
    table = trained(make_table)
    whole = table.export()
    parts = [table.export(start, start + 7) for start in range(0, table.row_limit, 7)]
    assert len(whole) == table.size
    assert_array_equal(whole.keys, table.keys())
    for name in vars(whole):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert_array_equal(joined, getattr(whole, name))
    assert len(table.export(table.row_limit)) == 0
    assert len(table.export(0, 10**12)) == table.size


def test_import_restores_everything_and_training_goes_on_equal(make_table: MakeTable) -> None:
    first = trained(make_table)
    second = make_table(optimizer=Adagrad(learning_rate=0.1))
    second.find_or_insert(ints(1000))
    for start in range(0, first.row_limit, 10):
        second.import_(first.export(start, start + 10))
    second.erase(ints(1000))
    second.check()
    assert_equal_ranges(second.export(), first.export())
    keys = ints(1, 2, 0, 77, 1)
    for table in (first, second):
        rows = table.find_or_insert(keys)
        table.apply_gradients(rows, np.ones((5, 3), np.float32), step=9)
    assert_array_equal(first.lookup(keys), second.lookup(keys))


def test_import_of_duplicates_keeps_the_last(make_table: MakeTable) -> None:
    table = make_table(dim=1)
    states = np.empty((2, 0), np.float32)
    counts = np.array([3, 4], np.uint32)
    table.import_(TableRange(ints(5, 5), floats([1], [2]), states, counts, counts))
    assert_array_equal(table.lookup(ints(5)), floats([2]))
    assert_array_equal(table.export().frequency, [4])


def test_frequency_saturates(make_table: MakeTable) -> None:
    table = make_table(dim=1)
    states = np.empty((2, 0), np.float32)
    counts = np.array([2**32 - 2, 2**32 - 3], np.uint32)
    table.import_(TableRange(ints(5, 6), floats([1], [2]), states, counts, counts))
    table.apply_gradients(ints(0, 1, 0), np.zeros((3, 1), np.float32))
    assert_array_equal(table.export().frequency, np.array([2**32 - 1, 2**32 - 2], np.uint32))


def test_export_since_a_version(make_table: MakeTable) -> None:
    table = make_table(initializer=Constant(value=0.0))
    table.find_or_insert(ints(1, 2, 3, 4))
    first = table.advance_version()
    assert len(table.export(since=first)) == 0
    table.find_or_insert(ints(1, 5))
    table.apply_gradients(table.find(ints(3)), np.ones((1, 3), np.float32))
    table.assign(ints(2), np.ones((1, 3), np.float32))
    table.erase(ints(4))
    assert_array_equal(table.export(since=first).keys, ints(2, 3, 5))
    second = table.advance_version()
    table.find_or_insert(ints(6))
    assert second == first + 1
    assert_array_equal(table.export(since=second).keys, ints(6))
    assert_array_equal(table.export().keys, ints(1, 2, 3, 6, 5))


def test_export_is_a_copy(make_table: MakeTable) -> None:
    table = make_table(initializer=Constant(value=1.0))
    table.find_or_insert(ints(1))
    export = table.export()
    export.values[:] = 9
    assert_array_equal(table.lookup(ints(1)), floats([1, 1, 1]))


def test_bad_ranges() -> None:
    table = HashTable(2, optimizer=Adagrad(), name="t")
    with pytest.raises(
        ConfigError, match=r"table 't': export\(3, 2\); expected 0 <= start <= stop"
    ):
        table.export(3, 2)
    with pytest.raises(ConfigError, match=r"export\(-1, 0\)"):
        table.export(-1)
    with pytest.raises(ConfigError, match="since is -1; expected 0 to 4294967295"):
        table.export(since=-1)
    good: dict[str, Any] = {
        "keys": ints(1),
        "values": floats([1, 2]),
        "states": floats([1, 2]),
        "frequency": np.array([1]),
        "last_step": np.array([1]),
    }
    table.import_(TableRange(**good))
    for name, value, error, message in (
        ("states", np.empty((1, 0), np.float32), ArrayShapeError, r"states has shape \[1, 0\]"),
        ("values", floats([1, 2], [3, 4]), ArrayShapeError, r"values has shape \[2, 2\]"),
        ("values", np.ones((1, 2)), ArrayTypeError, "values has dtype float64; expected float32"),
        ("frequency", ints(-1), ArrayShapeError, r"frequency\[0\] is -1; expected 0 to"),
        ("last_step", ints(2**32), ArrayShapeError, r"last_step\[0\] is 4294967296"),
        ("last_step", ints(1, 2), ArrayShapeError, r"last_step has shape \[2\]; expected \[1\]"),
    ):
        with pytest.raises(error, match=message):
            table.import_(TableRange(**{**good, name: value}))
    assert len(table) == 1
