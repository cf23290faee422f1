"""XXH64 with seed 0, many values at a time.

One published hash of bytes serves every dtype, so that a bucket is the same in every process, on
every machine and under every version of Polars (whose own `hash` promises none of that), and can
be computed by any program. Source: the XXH64 specification (Collet, xxHash, version 0.1.1).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["WORD_STEPS", "xxhash64_bytes"]

Words: TypeAlias = npt.NDArray[np.uint64]

_P1 = 0x9E3779B185EBCA87
_P2 = 0xC2B2AE3D27D4EB4F
_P3 = 0x165667B19E3779F9
_P4 = 0x85EBCA77C2B2AE63
_P5 = 0x27D4EB2F165667C5
_MASK = (1 << 64) - 1


def _constant(value: int) -> pl.Expr:
    return pl.lit(value & _MASK, dtype=pl.UInt64)


def _rotated_expr(x: pl.Expr, bits: int) -> pl.Expr:
    return (x * _constant(1 << bits)) ^ (x // _constant(1 << 64 - bits))


#: XXH64 of the 8 little-endian bytes of a UInt64, step by step. Products of UInt64 wrap; shifts are
#: written as products and quotients, which every engine has. Each step uses its operand twice:
#: composed into one expression they cost 60 ns a value, as columns of their own 15 ns.
WORD_STEPS: tuple[Callable[[pl.Expr], pl.Expr], ...] = (
    lambda word: word * _constant(_P2),
    lambda h: _rotated_expr(h, 31) * _constant(_P1) ^ _constant(_P5 + 8),
    lambda h: _rotated_expr(h, 27) * _constant(_P1) + _constant(_P4),
    lambda h: (h ^ (h // _constant(1 << 33))) * _constant(_P2),
    lambda h: (h ^ (h // _constant(1 << 29))) * _constant(_P3),
    lambda h: h ^ (h // _constant(1 << 32)),
)


def xxhash64_bytes(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Words:
    """Hash n strings of bytes that lie in one buffer.

    Args:
        data: uint8 [m].
        offsets: int64 [n+1]; string i is `data[offsets[i]:offsets[i + 1]]`.

    Returns:
        uint64 [n].

    Every step takes all strings that have it; the number of steps grows with the longest string,
    the work with the bytes.
    """
    start, length = offsets[:-1].copy(), np.diff(offsets)
    h = np.full(len(length), _P5, dtype=np.uint64)
    long = np.flatnonzero(length >= 32)
    if long.size:
        h[long] = _stripes(data, start[long], length[long] // 32)
        start[long] += length[long] // 32 * 32
    h += length.astype(np.uint64)
    left = length % 32
    for size in (8, 8, 8, 4, 1, 1, 1):
        # For most columns every string has this step or none has: no rows are picked then.
        has = left >= size
        if not has.any():
            continue
        rows: slice | npt.NDArray[np.intp] = slice(None) if has.all() else np.flatnonzero(has)
        word = _words(data, size)[start[rows]].astype(np.uint64)
        h[rows] = _absorbed(h[rows], word, size)
        start[rows] += size
        left[rows] -= size
    h ^= h >> np.uint64(33)
    h *= np.uint64(_P2)
    h ^= h >> np.uint64(29)
    h *= np.uint64(_P3)
    h ^= h >> np.uint64(32)
    return h


def _words(data: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.unsignedinteger]:
    """Give the little-endian word that begins at every byte, without a copy."""
    count = max(len(data) - size + 1, 0)
    return np.ndarray((count,), dtype=f"<u{size}", buffer=data, strides=(1,))


def _rotated(x: Words, bits: int) -> Words:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


def _round(lane: Words, word: Words) -> Words:
    return _rotated(lane + word * np.uint64(_P2), 31) * np.uint64(_P1)


def _absorbed(h: Words, word: Words, size: int) -> Words:
    """Mix one of the last words, of 8, 4 or 1 bytes, into the hash."""
    if size == 8:
        h = h ^ _round(np.zeros_like(word), word)
        return _rotated(h, 27) * np.uint64(_P1) + np.uint64(_P4)
    if size == 4:
        h = h ^ word * np.uint64(_P1)
        return _rotated(h, 23) * np.uint64(_P2) + np.uint64(_P3)
    return _rotated(h ^ word * np.uint64(_P5), 11) * np.uint64(_P1)


def _stripes(
    data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], stripes: npt.NDArray[np.int64]
) -> Words:
    """Hash the whole stripes of 32 bytes of strings that have at least one."""
    words = _words(data, 8)
    first = np.array([_P1 + _P2 & _MASK, _P2, 0, -_P1 & _MASK], dtype=np.uint64)
    lanes = np.repeat(first[:, None], len(start), axis=1)
    rows = np.arange(len(start))
    done = 0
    while rows.size:
        for lane in range(4):
            word = words[start[rows] + 32 * done + 8 * lane].astype(np.uint64)
            lanes[lane, rows] = _round(lanes[lane, rows], word)
        done += 1
        rows = rows[stripes[rows] > done]
    h: Words = np.zeros(len(start), dtype=np.uint64)
    for lane, bits in enumerate((1, 7, 12, 18)):
        h += _rotated(lanes[lane], bits)
    for lane in range(4):
        h = (h ^ _round(np.zeros_like(h), lanes[lane])) * np.uint64(_P1) + np.uint64(_P4)
    return h
