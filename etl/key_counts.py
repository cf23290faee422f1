"""How often every key of a vocabulary occurs: the statistic of Categorify."""

from collections.abc import Sequence

import polars as pl

from emberline.etl.dtypes import parse_dtype
from emberline.etl.encoding import Encoding
from emberline.etl.keys import canonical_key
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.vocabulary import key_columns

__all__ = ["as_list", "count_keys", "sum_counts"]


def count_keys(
    frame: pl.LazyFrame, encoding: Encoding, selection: Selection, count: pl.Expr
) -> pl.LazyFrame:
    """Count the keys of one vocabulary.

    Args:
        frame: has the columns.
        encoding: the vocabulary.
        selection: the columns with their schema.
        count: of a group of rows: their number, or the sum of `WEIGHT`.

    Returns:
        The keys (see `key_columns`) and `count`, int64; each key once, the null among them.
    """
    dtypes = encoding.key_dtypes(selection)
    if encoding.combo:
        return _counted(frame, encoding.columns, dtypes, count)
    counts = []
    for column in encoding.columns:
        values = frame.select(column, *count.meta.root_names())
        if selection.schema[column].is_list:
            # An empty list has no value; without the filter it would count as a null.
            values = as_list(values, selection.schema[column])
            values = values.filter(pl.col(column).list.len() > 0)
            values = values.explode(column, empty_as_null=True, keep_nulls=True)
        counts.append(_counted(values, [column], dtypes, count))
    return counts[0] if len(counts) == 1 else sum_counts(counts)


def sum_counts(counts: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Add the counts of several parts or columns."""
    # Relaxed: a column of nulls alone in the first parts has a dtype in later ones.
    together = pl.concat(counts, how="vertical_relaxed")
    return together.group_by(pl.exclude("count")).agg(pl.col("count").sum())


def as_list(frame: pl.LazyFrame, column: ColumnSchema) -> pl.LazyFrame:
    """Give fixed-length lists as lists; lists stay as they are."""
    if column.is_ragged:
        return frame
    dtype = pl.List(parse_dtype(column.dtype, column=column.name))
    return frame.with_columns(pl.col(column.name).cast(dtype))


def _counted(
    frame: pl.LazyFrame, columns: Sequence[str], dtypes: Sequence[pl.DataType], count: pl.Expr
) -> pl.LazyFrame:
    names = key_columns(len(columns))
    parts = zip(columns, dtypes, names, strict=True)
    keys = [canonical_key(pl.col(c), dtype).alias(name) for c, dtype, name in parts]
    rows = frame.select(*keys, *count.meta.root_names())
    return rows.group_by(names).agg(count.cast(pl.Int64).alias("count"))
