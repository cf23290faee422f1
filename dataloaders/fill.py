"""What stands for a null in a batch: a value that the user names, checked against the column."""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from emberline.dataloaders.errors import MissingColumnError
from emberline.errors import DataError, nearest

__all__ = ["fill_array", "fill_values"]

_TYPES = pa.types
# Python's types are exact here: True is no number, and a number is no moment since 1970.
_HOLDS: tuple[tuple[type, Any], ...] = (
    (bool, (_TYPES.is_boolean,)),
    (int, (_TYPES.is_integer, _TYPES.is_floating)),
    (float, (_TYPES.is_floating,)),
    (str, (_TYPES.is_string, _TYPES.is_large_string, _TYPES.is_string_view)),
    (bytes, (_TYPES.is_binary, _TYPES.is_large_binary, _TYPES.is_binary_view)),
    (datetime.datetime, (_TYPES.is_timestamp,)),
    (datetime.date, (_TYPES.is_date,)),
    (datetime.timedelta, (_TYPES.is_duration,)),
)


def fill_values(fill: object, types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """Give the value that stands for a null, for each column that has one.

    Args:
        fill: None, a value for every column whose type holds it exactly (0 for numbers, "" for
            strings; in the others a null stays an error), or values by column.
        types: the columns that are loaded, with their types; a list column's value stands for the
            nulls inside its lists, and for every element of a null list of fixed length.

    >>> fill_values(0, {"age": pa.int8(), "price": pa.float32(), "name": pa.string()})
    {'age': 0, 'price': 0}
    >>> fill_values({"age": 0.5}, {"age": pa.int8()})
    Traceback (most recent call last):
    emberline.errors.DataError: fill gives 0.5 for column 'age' of type int8, which cannot hold it \
exactly; choose a value of that type, or cast the column in the workflow

    Raises:
        MissingColumnError: a value for a column that is not loaded.
        DataError: a value that its column cannot hold.
    """
    if fill is None:
        return {}
    if not isinstance(fill, Mapping):
        value = _plain(fill)
        if not isinstance(value, tuple(kind for kind, _ in _HOLDS)):
            raise DataError(
                f"fill is {fill!r}; expected one number, string, date or boolean, or a mapping "
                "from columns to those"
            )
        return {name: value for name, kind in types.items() if _holds(_values(kind), value)}
    for name, value in fill.items():
        if name not in types:
            raise MissingColumnError(
                f"fill names the column {name!r}, which is not loaded{nearest(str(name), types)}"
            )
        if not _holds(_values(types[name]), _plain(value)):
            raise DataError(
                f"fill gives {value!r} for column {name!r} of type {types[name]}, which cannot "
                "hold it exactly; choose a value of that type, or cast the column in the workflow"
            )
    return {name: _plain(value) for name, value in fill.items()}


def fill_array(array: pa.Array, value: Any) -> pa.Array:
    """Replace the nulls of an array without lists by a value that its type holds."""
    if _TYPES.is_string_view(array.type) or _TYPES.is_binary_view(array.type):
        # Arrow has no fill_null for views.
        text = _TYPES.is_string_view(array.type)
        array = array.cast(pa.large_string() if text else pa.large_binary())
    return array.fill_null(pa.scalar(value, array.type))


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _values(kind: pa.DataType) -> pa.DataType:
    """Give the type of single values: of a list its elements', of a dictionary its values'."""
    lists = (_TYPES.is_list, _TYPES.is_large_list, _TYPES.is_fixed_size_list, _TYPES.is_dictionary)
    return _values(kind.value_type) if any(test(kind) for test in lists) else kind


def _holds(kind: pa.DataType, value: object) -> bool:
    # The first match: a bool is an int to Python, and a datetime is a date.
    tests: Iterable[Any] = next((t for known, t in _HOLDS if isinstance(value, known)), ())
    if not any(test(kind) for test in tests):
        return False
    try:
        held = pa.scalar(value, kind).as_py()
    except (pa.ArrowException, OverflowError, ValueError):
        return False
    # A float may be rounded to its column's precision, but not to infinity.
    return not isinstance(value, int) or bool(held == value)
