"""Sizes in bytes: as users write them, and of rows."""

import re

import polars as pl

from emberline.errors import DataError
from emberline.etl.execution import collect

__all__ = ["parse_size", "row_bytes", "rows_within"]

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)

#: Rows that are looked at to learn how large a row is.
SAMPLE_ROWS = 10_000
#: What a row counts at least: a hash table of distinct keys spends more on one than the key has.
LEAST_BYTES = 100
#: Fewer rows a part would spend the time on starting plans.
LEAST_ROWS = 8_192


def parse_size(value: int | str, *, name: str) -> int:
    """Give a number of bytes.

    Args:
        value: a positive integer, or text such as "1GB" (10**9) or "512 MiB" (2**29).
        name: the argument, for the message.

    Raises:
        DataError: anything else.

    >>> parse_size("1GB", name="memory_limit"), parse_size("512 MiB", name="part_size")
    (1000000000, 536870912)
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (size := int(float(match[1]) * _unit(match[2], match[3]))):
        raise DataError(
            f'{name} must be a positive number of bytes or a size like "1GB" or "512MiB", '
            f"got {value!r}"
        )
    return size


def _unit(prefix: str, binary: str) -> int:
    base = 1024 if binary else 1000
    return int(base ** _UNITS[prefix.lower()])


def row_bytes(frame: pl.LazyFrame) -> int:
    """Give the bytes in memory of one row, from the first ones; at least 1."""
    sample = collect(frame.head(SAMPLE_ROWS))
    return max(1, int(sample.estimated_size()) // max(1, sample.height))


def rows_within(frame: pl.LazyFrame, size_bytes: int) -> int:
    """Give how many rows of `frame` fit into `size_bytes`, at least a few thousand."""
    return max(LEAST_ROWS, size_bytes // max(LEAST_BYTES, row_bytes(frame)))
