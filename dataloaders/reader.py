"""Row groups to batches, in the order of the plan, ahead of the consumer.

Two stages, each a generator: decode row groups, and gather windows into batches. Run ahead, each
has a thread of its own, so that decoding and gathering overlap (they cost about the same) and the
consumer only takes finished batches. The order is that of the plan by construction: every stage
is sequential.
"""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

from numpy.typing import NDArray

from emberline.dataloaders.batch import Piece, Window, gather
from emberline.dataloaders.column import Column
from emberline.dataloaders.plan import EpochPlan, Stretch
from emberline.dataloaders.prefetch import Prefetch
from emberline.dataloaders.source import ParquetSource

__all__ = ["Arrays", "read_batches"]

Arrays = dict[str, NDArray[Any]]
"""All arrays of a batch by name, targets included."""

_RowGroup = dict[str, list[Column]]


def read_batches(
    source: ParquetSource, epoch: EpochPlan, *, first: int = 0, prefetch_bytes: int = 0
) -> Generator[Arrays, None, None]:
    """Yield the batches of an epoch from batch `first` on.

    Args:
        source: the row groups.
        epoch: the order.
        first: the batch to start with; the batches before it cost nothing.
        prefetch_bytes: 0 reads when asked, in the calling thread. Otherwise two threads work
            ahead, and up to half of this waits decoded and half as finished batches; the one or
            two windows that batches are being gathered from come on top.

    Raises:
        DataError, ParquetFileError: from `ParquetSource.read`, at the batch that needs the row
            group.
    """
    row_groups = _decode(source, epoch, first)
    if not prefetch_bytes:
        yield from _gather(source, epoch, first, row_groups)
        return
    budget_bytes = prefetch_bytes // 2
    decoded = Prefetch(
        row_groups,
        size_bytes=_row_group_bytes,
        budget_bytes=budget_bytes,
        name="emberline-decode",
    )
    batches = Prefetch(
        _gather(source, epoch, first, decoded),
        size_bytes=_batch_bytes,
        budget_bytes=budget_bytes,
        name="emberline-gather",
        upstream=decoded,
    )
    with contextlib.closing(batches):
        yield from batches


def _decode(
    source: ParquetSource, epoch: EpochPlan, first: int
) -> Generator[_RowGroup, None, None]:
    window, _ = epoch.locate(first)
    for index in range(window, epoch.num_windows):
        for group in epoch.window_groups(index):
            yield source.read(int(group))


def _gather(
    source: ParquetSource, epoch: EpochPlan, first: int, row_groups: Iterator[_RowGroup]
) -> Generator[Arrays, None, None]:
    current = epoch.locate(first)[0] - 1
    window: Window = {}
    order: NDArray[Any] | None = None
    for stretches in epoch.batches(first):
        pieces = []
        for stretch in stretches:
            if stretch.window != current:
                current = stretch.window
                window = {}  # free the old one before the new one is there, unless a piece needs it
                window = _assemble(row_groups, len(epoch.window_groups(current)))
                order = epoch.window_order(current)
            pieces.append(_piece(window, order, stretch))
        yield gather(pieces, source.formats)


def _assemble(row_groups: Iterator[_RowGroup], count: int) -> Window:
    parts: _RowGroup = {}
    for _ in range(count):
        for name, columns in next(row_groups).items():
            parts.setdefault(name, []).extend(columns)
    # Column by column, so that only one column is there twice while it is laid end to end.
    return {name: Column.concat(parts.pop(name)) for name in list(parts)}


def _piece(window: Window, order: NDArray[Any] | None, stretch: Stretch) -> Piece:
    rows = slice(stretch.start, stretch.stop)
    return Piece(window=window, rows=rows if order is None else order[rows])


def _row_group_bytes(row_group: _RowGroup) -> int:
    return sum(part.size_bytes for parts in row_group.values() for part in parts)


def _batch_bytes(batch: Arrays) -> int:
    return sum(array.nbytes for array in batch.values())
