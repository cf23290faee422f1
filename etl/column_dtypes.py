"""Columns read or written as another dtype."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from emberline.errors import nearest
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnNotFoundError, ColumnTypeError

__all__ = ["convert", "dtype_name"]

#: What pandas, Python and Polars call some dtypes.
_ALIASES = {
    "int": "int64",
    "float": "float64",
    "str": "string",
    "object": "string",
    "boolean": "bool",
    "binary": "bytes",
}


def dtype_name(dtype: Any, *, column: str) -> str:
    """Give a dtype as schemas spell it.

    Args:
        dtype: text, a NumPy, pandas, Polars or Python type; "hex" stays as it is.
        column: named in the error.

    Raises:
        DataError: no such dtype.

    >>> dtype_name(float, column="x"), dtype_name("hex", column="x")
    ('float64', 'hex')
    """
    if isinstance(dtype, str):
        name = dtype
    else:
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    # "Int64" is pandas' and Polars' spelling, with "time[us]" inside none is affected.
    name = name.lower() if "[" not in name else name
    name = _ALIASES.get(name, name)
    if name != "hex":
        parse_dtype(name, column=column)
    return name


def convert(
    plan: pl.LazyFrame, given: Mapping[str, pl.DataType], dtypes: Mapping[str, str]
) -> pl.LazyFrame:
    """Give the plan with some columns in other dtypes.

    Args:
        plan: the rows.
        given: its columns and their dtypes.
        dtypes: column -> dtype as schemas spell it, or "hex".

    Raises:
        ColumnNotFoundError: a column that is not there.
        ColumnTypeError: "hex" for a column that is not text.
    """
    columns = []
    for name, dtype in dtypes.items():
        if name not in given:
            raise ColumnNotFoundError(
                f"dtypes names a column {name!r} that the data has not{nearest(name, given)}"
            )
        if dtype == "hex":
            if given[name] != pl.String() and given[name] != pl.Null():
                raise ColumnTypeError(
                    f"column {name!r} has dtype {given[name]}; 'hex' reads hexadecimal text"
                )
            columns.append(_hex(pl.col(name)).alias(name))
            continue
        target = parse_dtype(dtype, column=name)
        if isinstance(given[name], (pl.List, pl.Array)):
            target = pl.List(target)
        if given[name] != target:
            columns.append(pl.col(name).cast(target))
    return plan.with_columns(columns) if columns else plan


def _hex(column: pl.Expr) -> pl.Expr:
    """Read hexadecimal text as the int32 of the same 32 bits: from 80000000 up negative."""
    value = column.cast(pl.String).str.to_integer(base=16, dtype=pl.Int64, strict=True)
    return (value - (value // (1 << 31)) * (1 << 32)).cast(pl.Int32)
