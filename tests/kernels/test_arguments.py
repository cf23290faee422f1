"""What arrays are accepted, and what the messages of the others say."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.errors import EmberlineError
from emberline.kernels import (
    ArrayShapeError,
    ArrayTypeError,
    ConfigError,
    HashTable,
    KeyRangeError,
    KeyTypeError,
)
from tests.kernels.conftest import floats, ints


@pytest.fixture
def table() -> HashTable:
    table = HashTable(2, name="item")
    table.find_or_insert(ints(1, 2, 3))
    return table


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i8", ">i4"])
def test_integers_of_any_width_are_keys(table: HashTable, dtype: str) -> None:
    assert_array_equal(table.find(np.array([3, 9, 1], dtype)), ints(2, -1, 0))


@pytest.mark.parametrize("keys", [[3, 9, 1], (3, 9, 1), np.array([3, 0, 9, 0, 1, 0])[::2]])
def test_lists_and_strided_views_are_keys(table: HashTable, keys: Any) -> None:
    assert_array_equal(table.find(keys), ints(2, -1, 0))
    assert table.find([]).shape == (0,)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([1.0], r"keys has dtype float64; keys must be int64.*keys\.astype\(np\.int64\)"),
        ([True], "keys has dtype bool"),
        (["a"], r"keys has dtype <U1.*Categorify"),
        ([2**64], "keys has dtype object"),
        (np.empty(0), "keys has dtype float64"),
    ],
)
@pytest.mark.parametrize("method", ["find", "find_or_insert", "lookup", "erase"])
def test_other_dtypes_are_refused(table: HashTable, method: str, keys: Any, message: str) -> None:
    with pytest.raises(KeyTypeError, match=message):
        getattr(table, method)(keys)
    assert table.size == 3


def test_uint64_above_int64(table: HashTable) -> None:
    keys = np.array([1, 2**63 - 1, 2**63], np.uint64)
    assert_array_equal(table.find(keys[:2]), ints(0, -1))
    with pytest.raises(KeyRangeError, match=r"keys\[2\] is 9223372036854775808.*view\(np\.int64\)"):
        table.find_or_insert(keys)
    assert issubclass(KeyRangeError, ValueError)
    assert issubclass(KeyTypeError, TypeError)


def test_keys_have_one_dimension(table: HashTable) -> None:
    with pytest.raises(ArrayShapeError, match=r"keys has shape \(1, 2\); .*keys\.reshape\(-1\)"):
        table.find(np.array([[1, 2]]))
    with pytest.raises(ArrayShapeError, match=r"keys has shape \(\)"):
        table.find(1)


def test_rows_are_integers(table: HashTable) -> None:
    assert table.gather(np.array([0, 2], np.uint8)).shape == (2, 2)
    assert table.gather([]).shape == (0, 2)
    with pytest.raises(ArrayTypeError, match="rows has dtype float64; expected int64"):
        table.gather(np.array([0.0]))
    with pytest.raises(ArrayShapeError, match=r"rows has shape \[1, 1\]; expected \[n\]"):
        table.gather([[0]])
    with pytest.raises(ArrayShapeError, match=r"rows\[0\] is 18446744073709551615; expected"):
        table.gather(np.array([2**64 - 1], np.uint64))


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((3, 2)), ArrayTypeError, "out is float64; expected a NumPy array of dtype"),
        ([[0, 0]], ArrayTypeError, "out is list"),
        (np.empty((2, 2), "f4"), ArrayShapeError, r"out has shape \[2, 2\]; expected \[3, 2\]"),
        (np.empty((2, 3), "f4").T, ArrayShapeError, r"strides \(4, 12\) bytes; expected"),
        (np.empty((3, 4), "f4")[:, ::2], ArrayShapeError, "columns 4 bytes apart"),
        (np.empty((3, 2), "f4")[::-1], ArrayShapeError, r"strides \(-8, 4\)"),
        (np.empty((3, 2), ">f4"), ArrayTypeError, "out is >f4"),
        (np.broadcast_to(np.float32(0), (3, 2)), ArrayShapeError, "is read-only"),
    ],
)
def test_outputs(table: HashTable, out: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        table.gather([0, 1, 2], out)
    with pytest.raises(error, match=message):
        table.lookup([1, 2, 3], out=out)
    with pytest.raises(error, match=message):
        table.gather_pooled([0, 1, 2], [0, 1, 2, 3], out=out)


@pytest.mark.parametrize(
    "gradients",
    [
        np.asfortranarray(floats([1, 2], [3, 4])),
        floats([3, 4], [1, 2])[::-1],
        floats([1, 0, 2, 0], [3, 0, 4, 0])[:, ::2],
        floats([9, 1, 2], [9, 3, 4])[:, 1:],
    ],
)
def test_gradients_of_any_layout(table: HashTable, gradients: Any) -> None:
    before = table.gather([0, 1])
    table.apply_gradients([0, 1], gradients, learning_rate=1.0)
    assert_array_equal(table.gather([0, 1]), before - floats([1, 2], [3, 4]))


def test_one_gradient_for_all_rows(table: HashTable) -> None:
    before = table.gather([0, 1])
    table.apply_gradients([0, 1], np.broadcast_to(np.float32(1), (2, 2)), learning_rate=1.0)
    assert_array_equal(table.gather([0, 1]), before - 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"gradients": np.ones((2, 2))}, ArrayTypeError, r"gradients has dtype float64.*astype"),
        ({"gradients": np.ones((3, 2), "f4")}, ArrayShapeError, r"gradients has shape \[3, 2\]"),
        ({"gradients": np.ones((2, 3), "f4")}, ArrayShapeError, r"expected \[2, 2\]"),
        ({"gradients": np.ones(4, "f4")}, ArrayShapeError, r"gradients has shape \[4\]"),
        ({"source": [0]}, ArrayShapeError, r"source has shape \[1\]; expected \[2\]"),
        ({"source": [0.0, 1.0]}, ArrayTypeError, "source has dtype float64"),
        ({"scale": np.ones(2)}, ArrayTypeError, "scale has dtype float64; expected float32"),
        ({"scale": np.ones(3, "f4")}, ArrayShapeError, r"scale has shape \[3\]; expected \[2\]"),
        ({"step": -1}, ConfigError, "table 'item': step is -1; expected 0 to 4294967295"),
        ({"step": 2**32}, ConfigError, "step is 4294967296"),
        ({"step": 0.5}, ConfigError, "step is 0.5; expected an integer"),
        ({"learning_rate": float("nan")}, ConfigError, "learning_rate is nan"),
        ({"learning_rate": -1.0}, ConfigError, "learning_rate is -1.0; expected a finite number"),
    ],
)
def test_bad_updates(
    table: HashTable, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = table.export()
    with pytest.raises(error, match=message):
        table.apply_gradients(**{"rows": [0, 1], "gradients": np.ones((2, 2), "f4"), **arguments})
    assert issubclass(error, EmberlineError)
    assert_array_equal(table.export().values, before.values)


def test_bad_assignments(table: HashTable) -> None:
    with pytest.raises(ArrayShapeError, match=r"values has shape \[1, 2\]; expected \[2, 2\]"):
        table.assign([7, 8], floats([1, 2]))
    with pytest.raises(ArrayShapeError, match=r"states has shape \[1, 2\]; expected \[1, 0\]"):
        table.assign([7], floats([1, 2]), floats([1, 2]))
    unknown: Any = "nan"
    with pytest.raises(ConfigError, match="missing is 'nan'; expected 'initial' or 'zeros'"):
        table.lookup([7], missing=unknown)
    assert table.size == 3
