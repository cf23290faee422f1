"""What batches hold, as numbers that do not depend on the order of the rows. NumPy alone."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["batch_digest"]

_MODULUS = 2**64
_STEP = np.uint64(0x9E3779B97F4A7C15)


def batch_digest(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[int, int]:
    """Count the rows, and sum their hashes modulo 2**64.

    The sums of two epochs are equal when both have the same rows, each as often, in any order and
    any batches; a row that is missing, repeated or changed in any column changes the sum (but for
    one chance in 2**64).

    Args:
        arrays: columns by name, `[n]`, or `<name>__values` and `<name>__offsets`. Columns are
            taken in the order of their names, numbers as float64.
    """
    names = sorted({name.removesuffix("__values").removesuffix("__offsets") for name in arrays})
    hashes: NDArray[np.uint64] | None = None
    for name in names:
        if name in arrays:
            column = _mixed(arrays[name])
        else:
            column = _list_hashes(arrays[f"{name}__values"], arrays[f"{name}__offsets"])
        if hashes is None:
            hashes = np.zeros(len(column), dtype=np.uint64)
        hashes = _scrambled(hashes + column)
    if hashes is None:
        raise ValueError("a batch without columns")
    return len(hashes), int(hashes.sum(dtype=np.uint64)) % _MODULUS


def _list_hashes(values: NDArray[np.generic], offsets: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Hash each list, by its elements and their positions; an empty list is 0."""
    ends = np.asarray(offsets, dtype=np.int64)
    lengths = np.diff(ends)
    place = np.arange(len(values)) - np.repeat(ends[:-1], lengths)
    elements = _scrambled(_mixed(values) + (place + 1).astype(np.uint64) * _STEP)
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(elements, out=sums[1:])
    return sums[ends[1:]] - sums[ends[:-1]]


def _mixed(values: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Hash single values; equal numbers of different dtypes have equal hashes."""
    return _scrambled(np.ascontiguousarray(values, dtype=np.float64).view(np.uint64))


def _scrambled(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits: SplitMix64's steps (Steele, Lea, Flood 2014)."""
    word = word + _STEP
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
