"""Schema dtypes and Polars dtypes, one for one.

A schema spells dtypes as NumPy and Merlin do. Categorical and Enum columns are text: their codes
mean something only inside one process, so `canonical` reads them as strings.
"""

import re
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.schema import ColumnSchema

__all__ = [
    "canonical",
    "column_of",
    "dtype_name",
    "dtype_of",
    "integer_range",
    "is_lossless",
    "is_number",
    "parse_dtype",
]

_SIMPLE: dict[str, pl.DataType] = {
    "int8": pl.Int8(),
    "int16": pl.Int16(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "uint8": pl.UInt8(),
    "uint16": pl.UInt16(),
    "uint32": pl.UInt32(),
    "uint64": pl.UInt64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "bytes": pl.Binary(),
    "date": pl.Date(),
    "time": pl.Time(),
    "null": pl.Null(),
}
_NAMES = {dtype: name for name, dtype in _SIMPLE.items()}
_TIMED = re.compile(r"(datetime64|timedelta64)\[(ms|us|ns)(?:, ([^\]]+))?\]")
_DECIMAL = re.compile(r"decimal\((\d+), (\d+)\)")
_TEXT = (pl.Categorical, pl.Enum)


def canonical(dtype: pl.DataType) -> pl.DataType:
    """Give the dtype that a workflow reads a column as: text for Categorical and Enum."""
    if isinstance(dtype, _TEXT):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(canonical(_inner(dtype)))
    if isinstance(dtype, pl.Array):
        return pl.Array(canonical(_inner(dtype)), dtype.size)
    return dtype


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    inner = dtype.inner
    return inner() if isinstance(inner, type) else inner


def _leaf_name(dtype: pl.DataType) -> str:
    dtype = canonical(dtype)
    if isinstance(dtype, pl.Datetime):
        zone = f", {dtype.time_zone}" if dtype.time_zone else ""
        return f"datetime64[{dtype.time_unit}{zone}]"
    if isinstance(dtype, pl.Duration):
        return f"timedelta64[{dtype.time_unit}]"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision or 38}, {dtype.scale})"
    # Struct, nested lists and the like: described, so that other columns of the same file can
    # be used; `parse_dtype` refuses them when such a column itself is selected.
    return _NAMES.get(dtype, str(dtype))


def column_of(name: str, dtype: pl.DataType) -> ColumnSchema:
    """Describe a Polars column, without tags."""
    if isinstance(dtype, pl.List):
        return ColumnSchema(name, _leaf_name(_inner(dtype)), is_list=True, is_ragged=True)
    if isinstance(dtype, pl.Array):
        width = {"value_count": {"min": dtype.size, "max": dtype.size}}
        return ColumnSchema(name, _leaf_name(_inner(dtype)), is_list=True, properties=width)
    return ColumnSchema(name, _leaf_name(dtype))


def parse_dtype(name: str, *, column: str) -> pl.DataType:
    """Give the Polars dtype that `name` spells.

    Args:
        name: a dtype as schemas spell it, without list.
        column: named in the error.

    Raises:
        DataError: no such dtype, or one that workflows do not carry (struct, list of lists).
    """
    if name in _SIMPLE:
        return _SIMPLE[name]
    if match := _TIMED.fullmatch(name):
        kind, unit, zone = match.groups()
        # Written out three times because Polars types the unit as a Literal.
        for known in ("ms", "us", "ns"):
            if unit == known:
                return pl.Datetime(known, zone) if kind == "datetime64" else pl.Duration(known)
    if match := _DECIMAL.fullmatch(name):
        return pl.Decimal(int(match[1]), int(match[2]))
    raise DataError(
        f"column {column!r} has dtype {name}, which workflows do not carry; flatten it (struct: "
        f"one column a field, list of lists: one list) or select other columns. "
        f"Known dtypes: {', '.join(_SIMPLE)}, datetime64[us], timedelta64[us], decimal(p, s)"
    )


def dtype_name(dtype: Any) -> str:
    """Give the name of a dtype: text as it is, or a NumPy, pandas or Polars dtype, or a type.

    >>> import numpy
    >>> dtype_name(numpy.float32), dtype_name(pl.Int8), dtype_name(float), dtype_name("bool")
    ('float32', 'int8', 'float64', 'bool')
    """
    if isinstance(dtype, str):
        return dtype
    python = {float: "float64", int: "int64", bool: "bool", str: "string"}
    if isinstance(dtype, type) and dtype in python:
        return python[dtype]
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        dtype = dtype()
    if isinstance(dtype, pl.DataType):
        return _leaf_name(dtype)
    return str(getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype)


def dtype_of(column: ColumnSchema) -> pl.DataType:
    """Give the Polars dtype of a schema column.

    Raises:
        DataError: a dtype that workflows do not carry.
    """
    leaf = parse_dtype(column.dtype, column=column.name)
    if not column.is_list:
        return leaf
    width = column.properties.get("value_count", {})
    if not column.is_ragged and width.get("max") and width.get("min") == width.get("max"):
        return pl.Array(leaf, int(width["max"]))
    return pl.List(leaf)


def is_number(column: ColumnSchema) -> bool:
    """Say whether a column holds integers or floats, no lists."""
    return not column.is_list and column.dtype.startswith(("int", "uint", "float"))


def integer_range(name: str) -> tuple[int, int]:
    """Give the smallest and largest value of an integer dtype.

    >>> integer_range("int8"), integer_range("uint16")
    ((-128, 127), (0, 65535))
    """
    bits = int(name.removeprefix("u").removeprefix("int"))
    return (0, (1 << bits) - 1) if name.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def is_lossless(given: pl.DataType, wanted: pl.DataType) -> bool:
    """Say whether data of dtype `given` may stand where `wanted` was fitted.

    Integers may change width either way, because the cast is strict: a value that does not fit
    is an error, not another value. Integers may stand for floats (exact below 2**53; readers
    infer integers for a float column without fractions) and float32 for float64. All-null
    columns may stand for anything, and anything for a column that was all null at the fit.
    """
    given, wanted = canonical(given), canonical(wanted)
    if given == wanted or isinstance(given, pl.Null) or isinstance(wanted, pl.Null):
        return True
    lists = (pl.List, pl.Array)
    if isinstance(given, lists) and isinstance(wanted, lists):
        return is_lossless(_inner(given), _inner(wanted))
    if wanted.is_integer():
        return given.is_integer()
    if wanted.is_float():
        return given.is_integer() or given == pl.Float32()
    if isinstance(wanted, pl.Datetime) and isinstance(given, pl.Datetime):
        # Coarser given units fit into finer ones; zones must agree.
        order = ("ms", "us", "ns")
        finer = order.index(given.time_unit) <= order.index(wanted.time_unit)
        return finer and given.time_zone == wanted.time_zone
    if isinstance(wanted, pl.Decimal) and isinstance(given, pl.Decimal):
        return given.scale <= wanted.scale
    return False
