"""A batch whose rows are still arriving."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emberline.dataloaders.batch import aligned_empty
from emberline.dataloaders.column import ColumnFormat

__all__ = ["UnfinishedBatch"]

Lists = tuple[NDArray[Any], NDArray[np.int64]]


class UnfinishedBatch:
    """The arrays of one batch, filled by several threads from one or more windows.

    A column is allocated when its first rows arrive, so that the memory of decoded columns is free
    before that of the batches is taken. Scalars and fixed lists are written where they belong;
    lists arrive in pieces, since where a piece starts depends on the lengths of those before.

    Attributes:
        rows: of the finished batch.
        missing: windows that have not delivered their part yet.
    """

    def __init__(self, rows: int, missing: int) -> None:
        self.rows = rows
        self.missing = missing
        self._arrays: dict[str, NDArray[Any]] = {}
        self._lists: dict[str, list[tuple[int, Lists]]] = {}

    def array(self, form: ColumnFormat) -> NDArray[Any]:
        """Give the array of a scalar or fixed column; safe from several threads."""
        array = self._arrays.get(form.name)
        if array is None:
            shape = (self.rows,) if form.layout == "scalar" else (self.rows, form.width)
            # Two windows may come here at once: one dictionary entry is set once.
            array = self._arrays.setdefault(form.name, aligned_empty(shape, form.dtype))
        return array

    def add_lists(
        self, form: ColumnFormat, start: int, values: NDArray[Any], offsets: NDArray[np.int64]
    ) -> None:
        """Take the lists of rows `start` and after; both arrays are fresh and aligned."""
        self._lists.setdefault(form.name, []).append((start, (values, offsets)))

    def finish(self, formats: tuple[ColumnFormat, ...]) -> dict[str, NDArray[Any]]:
        """Give the arrays by name, when all windows have delivered."""
        arrays: dict[str, NDArray[Any]] = {}
        for form in formats:
            if form.layout != "ragged":
                arrays[form.name] = self._arrays[form.name]
                continue
            pieces = [lists for _, lists in sorted(self._lists[form.name], key=lambda p: p[0])]
            values, offsets = form.buffer_names()
            arrays[values], arrays[offsets] = pieces[0] if len(pieces) == 1 else _joined(pieces)
        return arrays


def _joined(pieces: list[Lists]) -> Lists:
    values = aligned_empty((sum(len(v) for v, _ in pieces),), pieces[0][0].dtype)
    offsets: NDArray[np.int64] = aligned_empty((sum(len(o) - 1 for _, o in pieces) + 1,), np.int64)
    offsets[0] = 0
    row = element = 0
    for some, ends in pieces:
        values[element : element + len(some)] = some
        np.add(ends[1:], element, out=offsets[row + 1 : row + len(ends)])
        row += len(ends) - 1
        element += len(some)
    return values, offsets
