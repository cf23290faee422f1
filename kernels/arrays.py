"""Array arguments: what is accepted, what is converted, and the messages of what is not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.errors import (
    ArrayShapeError,
    ArrayTypeError,
    KeyRangeError,
    KeyTypeError,
)

__all__ = ["float_matrix", "float_vector", "integer_vector", "key_vector", "output_matrix"]

_INT64_MAX = np.iinfo(np.int64).max


def key_vector(keys: object, *, name: str = "keys") -> NDArray[np.int64]:
    """Give keys as a contiguous int64 vector, without a copy where they are one already.

    Integers of every other width are converted; uint64 only where every value fits.

    Args:
        keys: array-like of integers, 1-D.
        name: the argument, for the messages.

    Raises:
        KeyTypeError: floats, booleans, strings, objects.
        KeyRangeError: a uint64 above the largest int64.
        ArrayShapeError: not 1-D.
    """
    array = np.asarray(keys)
    if array.size == 0 and not isinstance(keys, np.ndarray):
        array = array.astype(np.int64)  # an empty list has no dtype of its own
    if array.dtype.kind not in "iu":
        raise KeyTypeError(
            f"{name} has dtype {array.dtype}; keys must be int64. Convert them first, for "
            f"example {name}.astype(np.int64), or give strings an id with a Categorify step"
        )
    if array.ndim != 1:
        raise ArrayShapeError(
            f"{name} has shape {array.shape}; expected one dimension, use {name}.reshape(-1)"
        )
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        above = np.flatnonzero(array > np.uint64(_INT64_MAX))
        if above.size:
            at = int(above[0])
            raise KeyRangeError(
                f"{name} has dtype uint64 and {name}[{at}] is {array[at]}, above the largest "
                f"int64 {_INT64_MAX}; reinterpret all keys with {name}.view(np.int64), which "
                "keeps them distinct"
            )
    return np.ascontiguousarray(array, dtype=np.int64)


def integer_vector(
    value: object, name: str, *, dtype: type[np.int64] | type[np.uint32], length: int | None = None
) -> NDArray[Any]:
    """Give integers as a contiguous vector of `dtype`; refuse values it does not hold.

    Raises:
        ArrayTypeError: not integers.
        ArrayShapeError: another shape, or a value out of range.
    """
    array = np.asarray(value)
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(dtype)
    if array.dtype.kind not in "iu":
        raise ArrayTypeError(
            f"{name} has dtype {array.dtype}; expected {np.dtype(dtype)}, use "
            f"{name}.astype(np.{np.dtype(dtype)})"
        )
    _require_length(array, name, length)
    if not np.can_cast(array.dtype, dtype) and array.size:
        limits = np.iinfo(dtype)
        bad = np.flatnonzero((array < limits.min) | (array > limits.max))
        if bad.size:
            raise ArrayShapeError(
                f"{name}[{bad[0]}] is {array[bad[0]]}; expected {limits.min} to {limits.max}"
            )
    return np.ascontiguousarray(array, dtype=dtype)


def float_vector(value: object, name: str, *, length: int) -> NDArray[np.float32]:
    """Give a contiguous float32 vector; nothing is converted.

    Raises:
        ArrayTypeError: another dtype.
        ArrayShapeError: another shape.
    """
    array = _float32(value, name)
    _require_length(array, name, length)
    return np.ascontiguousarray(array)


def float_matrix(
    value: object, name: str, *, rows: int | None, columns: int, packed: bool = False
) -> NDArray[np.float32]:
    """Give a float32 matrix with adjacent columns; its rows may be strided unless `packed`.

    A view is used as it is where the kernels can read it and copied otherwise.

    Raises:
        ArrayTypeError: another dtype.
        ArrayShapeError: another shape.
    """
    array = _float32(value, name)
    expected = f"[{'m' if rows is None else rows}, {columns}]"
    if array.ndim != 2 or array.shape[1] != columns or rows not in (None, array.shape[0]):
        raise ArrayShapeError(f"{name} has shape {list(array.shape)}; expected {expected}")
    return np.ascontiguousarray(array) if packed or not _readable(array) else array


def output_matrix(out: object, *, rows: int, columns: int) -> NDArray[np.float32]:
    """Check `out`, or make a new matrix where it is None.

    Args:
        out: writable float32 [rows, columns]; its rows may lie apart (a view of columns of a
            wider array), its columns not.
        rows: rows it must have.
        columns: columns it must have.

    Raises:
        ArrayTypeError: not a float32 array.
        ArrayShapeError: another shape, or a layout that cannot be written in place.
    """
    if out is None:
        return np.empty((rows, columns), np.float32)
    if not isinstance(out, np.ndarray) or out.dtype != np.float32:
        given = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise ArrayTypeError(f"out is {given}; expected a NumPy array of dtype float32")
    if out.shape != (rows, columns):
        raise ArrayShapeError(f"out has shape {list(out.shape)}; expected [{rows}, {columns}]")
    overlapping = rows > 1 and out.strides[0] < columns * 4
    if not out.flags.writeable or overlapping or not _readable(out):
        raise ArrayShapeError(
            f"out has strides {out.strides} bytes"
            f"{'' if out.flags.writeable else ' and is read-only'}; expected a writable array "
            f"with columns 4 bytes apart and rows at least {columns * 4} bytes apart"
        )
    return out


def _float32(value: object, name: str) -> NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype != np.float32 or not array.dtype.isnative:
        raise ArrayTypeError(
            f"{name} has dtype {array.dtype}; expected float32, use {name}.astype(np.float32)"
        )
    return array


def _require_length(array: NDArray[Any], name: str, length: int | None) -> None:
    if array.ndim != 1 or length not in (None, array.shape[0]):
        raise ArrayShapeError(
            f"{name} has shape {list(array.shape)}; expected [{'n' if length is None else length}]"
        )


def _readable(array: NDArray[np.float32]) -> bool:
    # What the kernels' row pointer arithmetic can address: whole floats, columns adjacent.
    rows, columns = array.shape
    if rows == 0 or columns == 0:
        return True
    adjacent = columns == 1 or array.strides[1] == 4
    return adjacent and array.strides[0] % 4 == 0 and array.flags.aligned
