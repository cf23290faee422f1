"""Numbers in columns and in lists alike."""

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import dtype_name, dtype_of, parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.schema import ColumnSchema, Schema

__all__ = [
    "as_list",
    "divided",
    "float_dtype",
    "known_count",
    "leaf_dtypes",
    "leaf_frames",
    "map_leaves",
    "require_numbers",
]

#: Names the frame of the columns without lists.
SCALARS = "columns"


def require_numbers(columns: Iterable[ColumnSchema], *, where: str, lists: bool = True) -> None:
    """Check that columns hold integers or floats.

    Args:
        columns: to be checked.
        where: the operator, for the message.
        lists: whether lists of numbers will do.

    Raises:
        ColumnTypeError: the first column that does not.
    """
    for column in columns:
        number = column.dtype.startswith(("int", "uint", "float"))
        if not number or (column.is_list and not lists):
            raise ColumnTypeError(
                f"{where}: column {column.name!r} has dtype {column.dtype}"
                f"{' (list)' if column.is_list else ''}; it must be a number"
                f'{" or a list of numbers" if lists else ""}. Cast it before: ops.Cast("float64")'
            )


def as_list(column: ColumnSchema) -> pl.Expr:
    """Give a list column, fixed lengths or not, as lists."""
    return pl.col(column.name).cast(pl.List(parse_dtype(column.dtype, column=column.name)))


def leaf_frames(frame: pl.LazyFrame, columns: Schema) -> dict[str, pl.LazyFrame]:
    """Give the leaves of columns as frames: one of all scalar columns, one for each list column.

    Returns:
        name of the frame -> frame. An empty or null list has no leaf.
    """
    out: dict[str, pl.LazyFrame] = {}
    scalars = [column.name for column in columns if not column.is_list]
    if scalars:
        out[SCALARS] = frame.select(scalars)
    for column in columns:
        if column.is_list:
            lists = frame.select(as_list(column).alias(column.name))
            filled = lists.filter(pl.col(column.name).list.len() > 0)
            out[f"list {column.name}"] = filled.explode(
                column.name, empty_as_null=True, keep_nulls=True
            )
    return out


def map_leaves(column: ColumnSchema, function: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Give a column with `function` applied to its leaves; lists keep their lengths.

    Args:
        column: scalars or lists.
        function: of an expression of leaves, element by element.
    """
    if not column.is_list:
        return function(pl.col(column.name)).alias(column.name)
    mapped = as_list(column).list.eval(function(pl.element()))
    wide = dtype_of(column)
    if isinstance(wide, pl.Array):
        mapped = mapped.list.to_array(wide.size)
    return mapped.alias(column.name)


def leaf_dtypes(columns: Iterable[ColumnSchema], dtype: str) -> dict[str, pl.DataType]:
    """Give columns' dtypes with `dtype` for their leaves."""
    return {column.name: dtype_of(column.with_dtype(dtype)) for column in columns}


def known_count(column: str, dtype: pl.DataType) -> pl.Expr:
    """Give the aggregate that counts what is neither null nor NaN, int64."""
    values = pl.col(column)
    counted = values.is_not_nan().sum() if dtype.is_float() else values.count()
    return counted.cast(pl.Int64)


def divided(value: pl.Expr, divisor: float) -> pl.Expr:
    """Give the quotients of a float64 column and a number, correctly rounded.

    `value / divisor` would not be: the engine multiplies by the reciprocal of a number, but not in
    batches of one row, so results would depend on the batch. Divided by a column they do not.
    """
    return value / (value.is_null().cast(pl.Float64) + divisor)


def float_dtype(dtype: Any, *, where: str) -> str:
    """Give the name of a float dtype, "float64" for None.

    Raises:
        DataError: it is none.
    """
    name = "float64" if dtype is None else dtype_name(dtype)
    if name not in {"float32", "float64"}:
        raise DataError(f"{where}: out_dtype must be float32 or float64, got {dtype!r}")
    return name
