"""Tables with a row for every group of key values: how they are keyed and joined back."""

from collections.abc import Mapping, Sequence

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.keys import canonical_key
from emberline.etl.schema import Schema
from emberline.etl.selection import Selection

__all__ = ["group_keys", "is_key", "join_table", "key_names", "named_groups", "require_keys"]

#: What a joined column is called until it has its own name; no user column starts like this.
JOINED = "\x1fjoined "


def named_groups(selection: Selection, name_sep: str) -> dict[str, tuple[str, ...]]:
    """Give the groups of columns by name: nested lists first as written, then single columns.

    Raises:
        DataError: the name of a group is that of a column.
    """
    out = {name_sep.join(group): group for group in selection.groups}
    for name in selection.alone:
        if out.setdefault(name, (name,)) != (name,):
            raise DataError(
                f"the joined name of {list(out[name])} is {name!r}, which is also a column; choose "
                "another name_sep"
            )
    return out


def require_keys(selection: Selection, *, where: str) -> None:
    """Check that the selected columns can be keys.

    Raises:
        ColumnTypeError: a list column.
    """
    for column in selection.schema:
        if column.is_list:
            raise ColumnTypeError(
                f"{where}: column {column.name!r} is a list; only scalar columns form groups"
            )


def key_names(columns: Sequence[str]) -> list[str]:
    """Give the names of the key columns in a table of groups."""
    return [f"key.{i}" for i in range(len(columns))]


def is_key(name: str) -> bool:
    """Say whether a column of a table of groups is a key."""
    return name.startswith("key.") and name.removeprefix("key.").isdigit()


def group_keys(columns: Sequence[str], schema: Schema) -> list[pl.Expr]:
    """Give the keys of every row: NaN is null, -0.0 is 0.0."""
    return [
        canonical_key(pl.col(c), parse_dtype(schema[c].dtype, column=c)).alias(key)
        for c, key in zip(columns, key_names(columns), strict=True)
    ]


def join_table(
    frame: pl.LazyFrame,
    keys: Mapping[str, pl.Expr],
    table: pl.LazyFrame,
    outputs: Mapping[str, pl.Expr],
) -> pl.LazyFrame:
    """Add columns of a table to every row; the row order is kept.

    Args:
        frame: the rows.
        keys: key column of the table -> its value for each row. Null is a key like any other.
        table: each key once.
        outputs: new column -> an expression of the table's columns, null where the key is not in
            the table.
    """
    right = table.select(
        *(pl.col(key).alias(f"{JOINED}{key}") for key in keys),
        *(value.alias(f"{JOINED}{name}") for name, value in outputs.items()),
    )
    frame = frame.with_columns(value.alias(f"{JOINED}{key}") for key, value in keys.items())
    frame = frame.join(
        right,
        on=[f"{JOINED}{key}" for key in keys],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    frame = frame.with_columns(pl.col(f"{JOINED}{name}").alias(name) for name in outputs)
    return frame.drop(f"{JOINED}{name}" for name in [*keys, *outputs])
