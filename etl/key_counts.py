"""How often every key of a vocabulary occurs: the statistic of Categorify.

Keys of one column are counted by native code, part by part: on 26 columns of hex strings it takes half
the time of the engine's `group_by`. Combinations, and what `LOOKUP = "join"` is for, go by the engine.
"""

from collections.abc import Sequence

import polars as pl

from emberline.etl import vocabulary
from emberline.etl.dtypes import parse_dtype
from emberline.etl.encoding import Encoding
from emberline.etl.keys import canonical_key
from emberline.etl.native_keys import count, is_native
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.vocabulary import key_columns

__all__ = ["as_list", "count_keys", "merge_counts"]


def count_keys(
    frame: pl.LazyFrame, encoding: Encoding, selection: Selection, number: pl.Expr
) -> pl.LazyFrame:
    """Count the keys of one vocabulary, or give them for `native_keys.count`.

    Args:
        frame: has the columns.
        encoding: the vocabulary.
        selection: the columns with their schema.
        number: of a group of rows: how many they are, or the sum of `WEIGHT`.

    Returns:
        The keys (see `key_columns`), each key once, the null among them, and `count`, int64; or the
        keys alone, row by row: the column of a part is counted at once, which is faster where keys
        are many. Leaves of lists, of which a part has any number, are counted as they stream.
    """
    dtypes = encoding.key_dtypes(selection)
    if encoding.combo:
        return _grouped(_keys(frame, encoding.columns, dtypes, number), number)
    weights = number.meta.root_names()
    native = vocabulary.LOOKUP == "index" and is_native(dtypes[0]) and not weights
    any_lists = any(selection.schema[column].is_list for column in encoding.columns)
    columns = []
    for column in encoding.columns:
        values = frame.select(column, *weights)
        if selection.schema[column].is_list:
            # An empty list has no value; without the filter it would count as a null.
            values = as_list(values, selection.schema[column])
            values = values.filter(pl.col(column).list.len() > 0)
            values = values.explode(column, empty_as_null=True, keep_nulls=True)
        columns.append(_keys(values, [column], dtypes, number))
    if native and not any_lists:
        return pl.concat(columns)
    counts = [_by_batch(keys, dtypes[0]) if native else _grouped(keys, number) for keys in columns]
    return counts[0] if len(counts) == 1 and not native else _summed(counts)


def merge_counts(counts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Add the counts of several parts."""
    together = pl.concat(counts, how="vertical_relaxed")
    if together.width == 2 and is_native(together.dtypes[0]):
        return count(together)
    return _summed([together.lazy()]).collect()


def as_list(frame: pl.LazyFrame, column: ColumnSchema) -> pl.LazyFrame:
    """Give fixed-length lists as lists; lists stay as they are."""
    if column.is_ragged:
        return frame
    dtype = pl.List(parse_dtype(column.dtype, column=column.name))
    return frame.with_columns(pl.col(column.name).cast(dtype))


def _keys(
    frame: pl.LazyFrame, columns: Sequence[str], dtypes: Sequence[pl.DataType], number: pl.Expr
) -> pl.LazyFrame:
    parts = zip(columns, dtypes, key_columns(len(columns)), strict=True)
    keys = [canonical_key(pl.col(c), dtype).alias(name) for c, dtype, name in parts]
    return frame.select(*keys, *number.meta.root_names())


def _by_batch(keys: pl.LazyFrame, dtype: pl.DataType) -> pl.LazyFrame:
    """Count keys as they stream; one of several batches is there several times."""
    schema = dict.fromkeys(key_columns(1), dtype) | {"count": pl.Int64()}
    return keys.map_batches(count, schema=schema, streamable=True)


def _grouped(keys: pl.LazyFrame, number: pl.Expr) -> pl.LazyFrame:
    names = pl.exclude(number.meta.root_names())
    return keys.group_by(names).agg(number.cast(pl.Int64).alias("count"))


def _summed(counts: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    # Relaxed: a column of nulls alone in the first parts has a dtype in later ones.
    together = pl.concat(counts, how="vertical_relaxed")
    return together.group_by(pl.exclude("count")).agg(pl.col("count").sum())
