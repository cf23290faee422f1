"""The hash behind buckets: HashBucket, HashedCross and Categorify's unknown values.

XXH64, seed 0, of a value's bytes. Text: UTF-8. Bytes: themselves. Everything else: 8 bytes, little-
endian, of an int64 (integers of any width, bool, the physical value of date, datetime, time and
duration), a uint64, or a float64 (floats, decimals). -0.0 is 0.0; null and NaN have the hash 0.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from emberline.etl.keys import canonical_key
from emberline.etl.xxhash64 import WORD_STEPS, xxhash64_bytes

__all__ = ["bucket_of", "stable_hash", "with_combined_hash", "with_hashes"]

_ZERO = pl.lit(0, dtype=pl.UInt64)


def stable_hash(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Hash leaves in one expression, as UInt64; for columns of a frame `with_hashes` is faster.

    >>> hex(pl.select(stable_hash(pl.lit("abc"), pl.String())).item())
    '0x44bc2cf5ad770999'
    """
    start, is_word = _start(column, dtype)
    steps = WORD_STEPS if is_word else ()
    return functools.reduce(lambda h, step: step(h), steps, start).fill_null(_ZERO)


def with_hashes(
    frame: pl.LazyFrame, columns: Mapping[str, tuple[str, pl.DataType]]
) -> pl.LazyFrame:
    """Add the hashes of columns of leaves.

    Args:
        frame: has the columns.
        columns: name of the hash, UInt64 -> the column to hash and its dtype.
    """
    words = []
    made = []
    for name, (column, dtype) in columns.items():
        start, is_word = _start(pl.col(column), dtype)
        made.append(start.alias(name))
        words += [name] if is_word else []
    frame = _stepped(frame.with_columns(made), words)
    return frame.with_columns(pl.col(name).fill_null(_ZERO) for name in columns)


def with_combined_hash(frame: pl.LazyFrame, name: str, hashes: Sequence[str]) -> pl.LazyFrame:
    """Add one hash of several; their order matters.

    The first, then with each further one: XXH64 of the 8 bytes so far, xor its hash.

    Args:
        frame: has the hashes, UInt64 without nulls.
        name: of the new column.
        hashes: the columns, at least one.
    """
    frame = frame.with_columns(pl.col(hashes[0]).alias(name))
    for other in hashes[1:]:
        frame = _stepped(frame, [name]).with_columns((pl.col(name) ^ pl.col(other)).alias(name))
    return frame


def bucket_of(hashed: pl.Expr, count: int) -> pl.Expr:
    """Give the remainder of a hash as Int64, 0 <= bucket < count."""
    return (hashed % pl.lit(count, dtype=pl.UInt64)).cast(pl.Int64)


def _stepped(frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    for step in WORD_STEPS if names else ():
        frame = frame.with_columns(step(pl.col(name)).alias(name) for name in names)
    return frame


def _start(column: pl.Expr, dtype: pl.DataType) -> tuple[pl.Expr, bool]:
    """Give the hash itself (text, bytes), or the word to be hashed and True."""
    if dtype == pl.Null:
        return pl.when(column.is_null()).then(pl.lit(None, dtype=pl.UInt64)), False
    key = canonical_key(column, dtype)
    if dtype in (pl.String, pl.Binary):
        return key.map_batches(_hash_texts, return_dtype=pl.UInt64, is_elementwise=True), False
    if dtype.is_float() or dtype.is_decimal():
        # `reinterpret` does this too, but not in every version that we support.
        wide = key.cast(pl.Float64).fill_null(0.0)
        bits = wide.map_batches(_float_bits, return_dtype=pl.UInt64, is_elementwise=True)
        return pl.when(key.is_not_null()).then(bits), True
    if dtype == pl.UInt64:
        return key, True
    return key.to_physical().cast(pl.Int64).reinterpret(signed=False), True


def _float_bits(numbers: pl.Series) -> pl.Series:
    return pl.Series(numbers.name, numbers.to_numpy().view(np.uint64))


def _hash_texts(texts: pl.Series) -> pl.Series:
    array = texts.cast(pl.Binary).to_arrow(compat_level=pl.CompatLevel.oldest())
    assert isinstance(array, pa.LargeBinaryArray), "the oldest layout has 64-bit offsets"
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset :][: len(array) + 1]
    octets = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
    hashed = pl.Series(texts.name, xxhash64_bytes(octets, bounds), dtype=pl.UInt64)
    if not texts.null_count():
        return hashed
    return pl.select(pl.when(texts.is_not_null()).then(hashed).alias(texts.name)).to_series()
