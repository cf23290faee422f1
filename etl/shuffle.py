"""A full shuffle in bounded memory that depends on the seed alone."""

import enum
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.execution import collect
from emberline.etl.memory_size import rows_within

__all__ = ["Shuffle", "shuffle_seed", "sort_by_key"]

#: Rows, and their bytes, that are sorted in memory at a time.
BUCKET_ROWS = 4_000_000
BUCKET_BYTES = 256_000_000


class Shuffle(enum.Enum):
    """NVTabular's kinds of shuffles; here each is the full one, which is all the others are not."""

    PER_PARTITION = 0
    PER_WORKER = 1
    FULL = 2


def shuffle_seed(shuffle: Any, seed: int | None) -> int | None:
    """Give the seed that `to_parquet`'s arguments mean, or None to keep the order.

    Args:
        shuffle: None or False, a `Shuffle`, True (deprecated), or the seed itself.
        seed: the seed beside a `Shuffle`; 0 by default.

    Raises:
        DataError: something else.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | None):
        raise DataError(f"seed must be an integer, got {seed!r}")
    if shuffle is None or shuffle is False:
        if seed is not None:
            raise DataError(f"seed={seed} has no effect without shuffle; give Shuffle.FULL too")
        return None
    if shuffle is True:
        warnings.warn(
            "shuffle=True is deprecated; write shuffle=Shuffle.FULL or shuffle=<seed>",
            DeprecationWarning,
            stacklevel=3,
        )
    elif not isinstance(shuffle, Shuffle):
        if not isinstance(shuffle, int) or seed is not None:
            raise DataError(
                f"shuffle must be None, a Shuffle or an integer seed, got {shuffle!r}"
                + (f" beside seed={seed}" if seed is not None else "")
            )
        return shuffle
    return 0 if seed is None else seed


_INDEX = "shuffle/index"
_KEY = "shuffle/key"
_MASK = (1 << 64) - 1


def _u64(value: int) -> pl.Expr:
    return pl.lit(value & _MASK, dtype=pl.UInt64)


def _key(seed: int) -> pl.Expr:
    """Give splitmix64 of (row number + seed): a bijection, so keys of a frame never tie.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators". Shifts are
    floor divisions, because Polars has none. Expr.hash would be shorter, but its values change
    between Polars versions.
    """
    # The seed itself is mixed in Python, so that neighbouring seeds share no stretch of keys.
    start = _mix(seed & _MASK)
    z = (pl.col(_INDEX).cast(pl.UInt64) + _u64(1)) * _u64(0x9E3779B97F4A7C15) + _u64(start)
    z = (z ^ (z // _u64(1 << 30))) * _u64(0xBF58476D1CE4E5B9)
    z = (z ^ (z // _u64(1 << 27))) * _u64(0x94D049BB133111EB)
    return z ^ (z // _u64(1 << 31))


def _mix(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def sort_by_key(
    frame: pl.LazyFrame, *, rows: int, seed: int, bucket_rows: int | None = None
) -> Iterator[pl.DataFrame]:
    """Give the rows in shuffled order, in buckets to be concatenated.

    The order is that of a key computed from (seed, row number). Each bucket is a range of keys
    that a pass over `frame` filters out and sorts, so the number of buckets changes memory and
    time but not the result.

    Args:
        frame: cheap to read again, in a fixed order: a parquet file.
        rows: its number of rows.
        seed: any integer.
        bucket_rows: rows of a bucket, about; `BUCKET_ROWS` by default, fewer if they are large.
    """
    each = bucket_rows or min(BUCKET_ROWS, rows_within(frame, BUCKET_BYTES))
    buckets = max(1, -(-rows // each))
    bounds = [(1 << 64) * i // buckets for i in range(buckets)] + [1 << 64]
    keyed = frame.with_row_index(_INDEX).with_columns(_key(seed).alias(_KEY))
    for low, high in itertools.pairwise(bounds):
        inside = (pl.col(_KEY) >= _u64(low)) & (pl.col(_KEY) <= _u64(high - 1))
        part = collect(keyed.filter(inside))
        yield part.sort(_KEY).drop(_INDEX, _KEY)
