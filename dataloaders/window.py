"""One window on its way from row groups to batches, in steps that threads share."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emberline.dataloaders._gather import WindowOrder
from emberline.dataloaders.batch import Piece, aligned_empty, gather
from emberline.dataloaders.column import Column, ColumnFormat
from emberline.dataloaders.plan import EpochPlan
from emberline.dataloaders.row_source import RowSource
from emberline.dataloaders.unfinished import UnfinishedBatch

__all__ = ["Part", "Window", "WindowParts", "window_parts"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a window gives to a batch.

    Attributes:
        batch: its number.
        start: the first place in the window's order.
        stop: the place after the last one.
        at: where in the batch the rows begin.
    """

    batch: int
    start: int
    stop: int
    at: int


@dataclass(frozen=True, kw_only=True)
class WindowParts:
    """A window and everything that is wanted of it; `batches` gives the windows of a batch."""

    window: int
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows that are wanted."""
        return sum(part.stop - part.start for part in self.parts)


def window_parts(epoch: EpochPlan, batches: Iterable[int]) -> Iterator[WindowParts]:
    """Turn ascending batches into windows, in reading order; those without a row wanted are left out."""
    current = -1
    parts: list[Part] = []
    for batch in batches:
        at = 0
        for stretch in epoch.stretches(batch):
            if stretch.window != current and parts:
                yield WindowParts(window=current, parts=tuple(parts))
                parts = []
            current = stretch.window
            parts.append(Part(batch=batch, start=stretch.start, stop=stretch.stop, at=at))
            at += stretch.stop - stretch.start
    if parts:
        yield WindowParts(window=current, parts=tuple(parts))


Step = Callable[[], None]


class Window:
    """The steps of one window: draw the order and decode each row group; then take each column.

    Steps of one phase run in any order and at the same time; the second begins when the first has
    ended. Which thread runs what changes no bit. The window is never laid end to end: each column
    is taken from the row groups' own memory, which is free afterwards.

    `next_step` and `step_done` belong under the caller's lock; the steps themselves do not.
    """

    def __init__(
        self,
        source: RowSource,
        epoch: EpochPlan,
        wanted: WindowParts,
        batches: dict[int, UnfinishedBatch],
    ) -> None:
        self.wanted = wanted
        self._source = source
        self._epoch = epoch
        self._batches = [batches[part.batch] for part in wanted.parts]
        self._order: NDArray[np.int64] | None = None
        self._native: WindowOrder | None = None
        groups = epoch.window_groups(wanted.window)
        self._decoded: list[dict[str, list[Column]]] = [{} for _ in groups]
        self._steps: deque[Step] = deque([self._draw])
        self._steps += [partial(self._decode, i, int(group)) for i, group in enumerate(groups)]
        self._running = 0
        self._taking = False

    @property
    def has_steps(self) -> bool:
        """Whether there is a step that can be run now."""
        return bool(self._steps)

    def next_step(self) -> Step | None:
        """Give a step that can be run now; None while others must end first, or at the end."""
        if not self._steps:
            return None
        self._running += 1
        return self._steps.popleft()

    def step_done(self) -> bool:
        """Note that a step has ended; True when it was the last of the window."""
        self._running -= 1
        if self._running or self._steps:
            return False
        if self._taking:
            return True
        self._taking = True
        self._steps += [partial(self._take, form) for form in self._source.formats]
        return False

    def _draw(self) -> None:
        self._order = self._epoch.window_order(self.wanted.window)
        if self._order is not None:
            self._native = WindowOrder(self._order)

    def _decode(self, position: int, group: int) -> None:
        self._decoded[position] = self._source.read(group)

    def _take(self, form: ColumnFormat) -> None:
        columns = [column for group in self._decoded for column in group.pop(form.name)]
        if form.layout == "ragged":
            self._take_lists(form, columns)
        elif self._native is not None and not form.dtype.hasobject:
            begins = [part.start for part in self.wanted.parts]
            outs = [_bytes(out) for out in self._outs(form)]
            self._native.take_rows([_bytes(c.values) for c in columns], begins, outs)
        else:
            values = Column.concat(columns).values
            for out, piece in zip(self._outs(form), self._pieces(form, columns), strict=True):
                if isinstance(piece.rows, slice):
                    out[...] = values[piece.rows]
                else:
                    np.take(values, piece.rows, axis=0, out=out, mode="clip")

    def _take_lists(self, form: ColumnFormat, columns: list[Column]) -> None:
        names = form.buffer_names()
        if self._native is None or form.dtype.hasobject:
            for part, batch, piece in zip(
                self.wanted.parts, self._batches, self._pieces(form, columns), strict=True
            ):
                arrays = gather([piece], [form])
                batch.add_lists(form, part.at, arrays[names[0]], arrays[names[1]])
            return
        begins = [part.start for part in self.wanted.parts]
        ends = [column.offsets for column in columns if column.offsets is not None]
        offsets = [aligned_empty((p.stop - p.start + 1,), np.int64) for p in self.wanted.parts]
        self._native.take_offsets(ends, begins, offsets)
        values = [aligned_empty((int(some[-1]),), form.dtype) for some in offsets]
        self._native.take_lists(
            [_bytes(c.values) for c in columns], ends, begins, [_bytes(v) for v in values], offsets
        )
        for part, batch, some, where in zip(
            self.wanted.parts, self._batches, values, offsets, strict=True
        ):
            batch.add_lists(form, part.at, some, where)

    def _outs(self, form: ColumnFormat) -> list[NDArray[Any]]:
        return [
            batch.array(form)[part.at : part.at + part.stop - part.start]
            for part, batch in zip(self.wanted.parts, self._batches, strict=True)
        ]

    def _pieces(self, form: ColumnFormat, columns: list[Column]) -> list[Piece]:
        whole = {form.name: Column.concat(columns)}
        places = [slice(part.start, part.stop) for part in self.wanted.parts]
        order = self._order
        return [Piece(window=whole, rows=p if order is None else order[p]) for p in places]


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The same memory as [rows, bytes of a row]."""
    values = np.ascontiguousarray(values)
    size_bytes = values.dtype.itemsize * (values.shape[1] if values.ndim == 2 else 1)
    return values.view(np.uint8).reshape(len(values), size_bytes)
