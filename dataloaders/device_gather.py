"""Rows of a window into batches, over an array namespace: CuPy on a GPU, NumPy in the tests.

Only what both have; CuPy's `repeat` takes no array of repeats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emberline.dataloaders.column import Column, ColumnFormat
from emberline.dataloaders.errors import DeviceError

__all__ = ["DeviceColumn", "DevicePiece", "check_formats", "gather_rows", "upload"]


@dataclass(frozen=True, kw_only=True)
class DeviceColumn:
    """Rows of one column in the namespace's memory.

    Attributes:
        values: [n], [n, width], or all elements of a ragged column.
        offsets: int64 [n + 1] for a ragged column, None otherwise.
    """

    values: Any
    offsets: Any


@dataclass(frozen=True, kw_only=True)
class DevicePiece:
    """Rows of one window that go into a batch: a slice, or int64 row numbers in the namespace."""

    window: Mapping[str, DeviceColumn]
    rows: Any


def check_formats(formats: Sequence[ColumnFormat]) -> None:
    """Check that a GPU has all dtypes.

    Raises:
        DeviceError: strings, bytes, dates or durations; names the column.
    """
    for form in formats:
        if form.dtype.kind not in "biuf":
            raise DeviceError(
                f"column {form.name!r} holds {form.dtype} values, device 'gpu' has numbers and "
                "booleans only; encode it in the workflow, leave it out through columns=, or use "
                "'cpu'"
            )


def upload(xp: Any, form: ColumnFormat, parts: Sequence[Column]) -> DeviceColumn:
    """Copy decoded parts into the namespace's memory and lay them end to end there."""
    values = xp.concatenate([xp.asarray(part.values) for part in parts])
    if form.layout != "ragged":
        return DeviceColumn(values=values, offsets=None)
    ends = np.cumsum([0, *(len(part.values) for part in parts)])
    shifted = [
        xp.asarray(part.offsets[1:]) + int(end)
        for part, end in zip(parts, ends, strict=False)
        if part.offsets is not None
    ]
    return DeviceColumn(
        values=values, offsets=xp.concatenate([xp.zeros(1, dtype=np.int64), *shifted])
    )


def gather_rows(
    xp: Any, pieces: Sequence[DevicePiece], formats: Sequence[ColumnFormat]
) -> dict[str, Any]:
    """Take the rows of one batch into fresh arrays; those of `batch.gather`, in `xp`'s memory."""
    arrays: dict[str, Any] = {}
    for form in formats:
        columns = [(piece.window[form.name], piece.rows) for piece in pieces]
        if form.layout == "ragged":
            values, offsets = form.buffer_names()
            arrays[values], arrays[offsets] = _lists(xp, columns)
        else:
            # Always a copy: a view would keep the whole window alive.
            parts = [_take(xp, column.values, rows) for column, rows in columns]
            arrays[form.name] = xp.concatenate(parts) if len(parts) > 1 else parts[0]
    return arrays


def _take(xp: Any, values: Any, rows: Any) -> Any:
    return values[rows].copy() if isinstance(rows, slice) else values[rows]


def _lists(xp: Any, columns: Sequence[tuple[DeviceColumn, Any]]) -> tuple[Any, Any]:
    taken = []
    ends = [xp.zeros(1, dtype=np.int64)]
    total = 0
    for column, rows in columns:
        firsts, lasts = column.offsets[:-1][rows], column.offsets[1:][rows]
        stops = xp.cumsum(lasts - firsts)
        size = int(stops[-1]) if len(stops) else 0  # waits for the device: sizes are host numbers
        element = xp.arange(size)
        # Row i has the elements from stops[i - 1] up to stops[i]; empty rows have none.
        row = xp.searchsorted(stops, element, side="right")
        where = lasts[row] - (stops[row] - element) if size else slice(0)
        taken.append(column.values[where])
        ends.append(stops + total)
        total += size
    return xp.concatenate(taken), xp.concatenate(ends)
