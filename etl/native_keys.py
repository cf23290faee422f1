"""Counting and ordering keys by native code, which reads the engine's columns in place."""

import polars as pl

from emberline.etl import _native

__all__ = ["by_count", "count", "is_native", "key_word"]

#: Bytes of text that the engine keeps in the column itself; longer texts are elsewhere.
_INLINE = 12


def key_word(key: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Give keys as text or numbers of 64 bits, distinct ones distinct: what the native code takes.

    Args:
        key: as `canonical_key` gives it.
        dtype: of the keys; not Null.
    """
    if dtype == pl.Binary:
        return key.bin.encode("hex")
    if dtype == pl.String or dtype.is_decimal():
        return key.cast(pl.String)
    if dtype.is_float():
        return key.cast(pl.Float64)
    return key if dtype == pl.UInt64 else key.to_physical().cast(pl.Int64)


def is_native(dtype: pl.DataType) -> bool:
    """Whether keys of this dtype can be counted and ordered here: their words sort as they do."""
    return not (isinstance(dtype, (pl.Null, pl.Binary)) or dtype.is_decimal())


def count(keys: pl.DataFrame) -> pl.DataFrame:
    """Count keys, or add up their counts.

    Args:
        keys: one column of keys; where there is a second one, it is `count`, int64.

    Returns:
        The distinct keys in the order in which they come first, but null last, and `count`.
    """
    keys = keys.rechunk()
    name, *weights = keys.columns
    rows, counts = _native.count(_words(keys[name]), keys["count"].to_numpy() if weights else None)
    distinct = keys[name].gather(pl.Series(rows))
    if distinct.dtype == pl.String and (distinct.str.len_bytes() > _INLINE).any():
        # Made anew: the distinct texts would keep those of all rows in memory.
        distinct = distinct + ""
    return pl.DataFrame([distinct, pl.Series("count", counts)])


def by_count(counted: pl.DataFrame) -> pl.DataFrame:
    """Sort distinct keys by descending count, ties by ascending key.

    Args:
        counted: any number of columns of keys, and `count`, int64. A single key is not null.
    """
    *keys, last = counted.columns
    if len(keys) > 1 or not is_native(counted.dtypes[0]):
        # A total order: the result does not depend on the order in which groups arrive.
        return counted.sort(last, *keys, descending=[True, *[False] * len(keys)])
    counted = counted.rechunk()
    rows = _native.order(_words(counted[keys[0]]), counted[last].to_numpy())
    return counted[pl.Series(rows)]


def _words(keys: pl.Series) -> pl.Series:
    return pl.select(key_word(pl.lit(keys), keys.dtype)).to_series().rechunk()
