"""Batches: fresh arrays that TensorFlow may alias.

TensorFlow kills the process when it reads memory through DLPack that is not 64-byte aligned, and
it rejects strided or read-only arrays; `np.empty` only promises 16 bytes. So every numeric array
of a batch is allocated here: aligned, writable, compact, and never reused, because a tensor may
share its memory for as long as it lives.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emberline.dataloaders.column import Column, ColumnFormat

__all__ = ["ALIGNMENT_BYTES", "Piece", "Rows", "aligned_copy", "aligned_empty", "gather"]

ALIGNMENT_BYTES = 64

Rows = Mapping[str, Column]
"""Decoded columns, all with the same number of rows."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Rows of one window that go into a batch, in this order."""

    window: Rows
    rows: slice | NDArray[np.int64]

    def __len__(self) -> int:
        if isinstance(self.rows, slice):
            return int(self.rows.stop - self.rows.start)
        return len(self.rows)


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate like `np.empty`, at an address that is a multiple of 64.

    Object arrays are not aligned: their memory holds pointers and is never handed over as it is.
    An array without elements keeps an aligned address too.
    """
    kind = np.dtype(dtype)
    if kind.hasobject:
        return np.empty(shape, dtype=kind)
    size_bytes = math.prod(shape) * kind.itemsize
    memory = np.empty(size_bytes + ALIGNMENT_BYTES, dtype=np.uint8)
    skip = -memory.ctypes.data % ALIGNMENT_BYTES
    # ndarray(buffer=) and not a view of a slice: NumPy moves the address of an empty view.
    return np.ndarray(shape, dtype=kind, buffer=memory, offset=skip)


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Copy into fresh memory that is aligned like all of a batch's."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def gather(pieces: Sequence[Piece], formats: Sequence[ColumnFormat]) -> dict[str, NDArray[Any]]:
    """Copy the rows of one batch into fresh arrays.

    Args:
        pieces: where the rows are, in order; they may lie in several windows.
        formats: the columns to take.

    Returns:
        The arrays by name: `[n]`, `[n, width]`, or `<name>__values` and `<name>__offsets`
        (int64 [n + 1], from 0); see `ColumnFormat`.
    """
    count = sum(len(piece) for piece in pieces)
    arrays: dict[str, NDArray[Any]] = {}
    for form in formats:
        if form.layout == "ragged":
            values, offsets = form.buffer_names()
            arrays[values], arrays[offsets] = _gather_ragged(pieces, form, count)
            continue
        shape = (count,) if form.layout == "scalar" else (count, form.width)
        out = aligned_empty(shape, form.dtype)
        start = 0
        for piece in pieces:
            stop = start + len(piece)
            _copy(piece.window[form.name].values, piece.rows, out[start:stop])
            start = stop
        arrays[form.name] = out
    return arrays


def _copy(values: NDArray[Any], rows: slice | NDArray[np.int64], out: NDArray[Any]) -> None:
    if isinstance(rows, slice):
        out[...] = values[rows]
    else:
        # The rows are in range by construction; mode="raise" would gather into a second buffer.
        np.take(values, rows, axis=0, out=out, mode="clip")


def _gather_ragged(
    pieces: Sequence[Piece], form: ColumnFormat, count: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    offsets: NDArray[np.int64] = aligned_empty((count + 1,), np.int64)
    offsets[0] = 0
    sources: list[tuple[NDArray[Any], slice | NDArray[np.int64]]] = []
    start = 0
    for piece in pieces:
        column = piece.window[form.name]
        assert column.offsets is not None, "a ragged column is decoded with offsets"
        stop = start + len(piece)
        ends = offsets[start + 1 : stop + 1]  # offsets[start], the end so far, is set already
        if isinstance(piece.rows, slice):
            first, last = column.offsets[piece.rows.start], column.offsets[piece.rows.stop]
            np.subtract(column.offsets[piece.rows.start + 1 : piece.rows.stop + 1], first, out=ends)
            sources.append((column.values, slice(int(first), int(last))))
        else:
            firsts = column.offsets[piece.rows]
            lengths = column.offsets[piece.rows + 1] - firsts
            np.cumsum(lengths, out=ends)
            # Element j of the piece lies at firsts[row of j] + (j - where that row starts).
            elements = np.repeat(firsts - (ends - lengths), lengths)
            elements += np.arange(len(elements))
            sources.append((column.values, elements))
        ends += offsets[start]
        start = stop
    values = aligned_empty((int(offsets[-1]),), form.dtype)
    start = 0
    for source, rows in sources:
        size = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        _copy(source, rows, values[start : start + size])
        start += size
    return values, offsets
