"""Which rows come when: a pure function of sizes, settings and (seed, epoch).

An epoch is a sequence of *windows*. Shuffled, the row groups are permuted, every
`window_row_groups` of them in a row form a window, and the rows inside a window are permuted.
Unshuffled, every row group is a window of its own and nothing is permuted. Batches are cut out
of that sequence of rows every `batch_size` rows, across windows, so no row is ever dropped or
repeated at a window's edge.

Randomness is counter-based: each permutation has a Philox stream of its own, with the key
(seed, epoch) and the counter (0, 0, purpose, index). A window's permutation is therefore computed
without those before it, and with it the position of any batch: resuming costs one window,
whatever the batch. NumPy keeps Philox's bit stream for ever but may change how
`Generator.permutation` uses it; a test pins the order, so such a release is noticed.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emberline.errors import DataError

__all__ = ["EpochPlan", "Plan", "Stretch"]

_SEED_LIMIT = 2**64


class _Purpose(IntEnum):
    """What a stream is for. Never renumber: saved positions depend on it."""

    ROW_GROUPS = 0
    WINDOW = 1


def _stream(seed: int, epoch: int, purpose: _Purpose, index: int) -> np.random.Generator:
    # The low two counter words count the draws (2**128 of them), so streams cannot overlap.
    return np.random.Generator(
        np.random.Philox(
            key=np.array([seed, epoch], dtype=np.uint64),
            counter=np.array([0, 0, purpose, index], dtype=np.uint64),
        )
    )


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Rows `start` to `stop` of a window, in the window's order."""

    window: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of all epochs.

    Attributes:
        row_group_rows: rows of every row group of every file, in file order; zeros are skipped.
        batch_size: rows of a batch; the last of an epoch may have fewer.
        shuffle: permute row groups and the rows inside windows.
        seed: 0 <= seed < 2**64; the only source of randomness beside the epoch.
        window_row_groups: row groups in a window when shuffled; more mix better and take more
            memory.
        drop_last: leave out the last batch of an epoch when it is not full.

    Raises:
        DataError: no rows, or a setting outside its range.
    """

    row_group_rows: tuple[int, ...]
    batch_size: int
    shuffle: bool = False
    seed: int = 0
    window_row_groups: int = 4
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise DataError(f"batch_size is {self.batch_size}; expected 1 or more")
        if self.window_row_groups < 1:
            raise DataError(f"window_row_groups is {self.window_row_groups}; expected 1 or more")
        if not 0 <= self.seed < _SEED_LIMIT:
            raise DataError(f"seed is {self.seed}; expected 0 <= seed < 2**64")
        if min(self.row_group_rows, default=0) < 0:
            raise DataError("row_group_rows has a negative entry; expected row counts")
        if self.num_rows == 0:
            raise DataError("no rows: every row group is empty")
        if self.num_batches == 0:
            raise DataError(
                f"drop_last=True would drop every row: {self.num_rows} rows are fewer than "
                f"batch_size {self.batch_size}; lower batch_size or keep the last batch"
            )

    @cached_property
    def num_rows(self) -> int:
        """Rows in the files; with `drop_last`, up to `batch_size - 1` of them do not come."""
        return sum(self.row_group_rows)

    @property
    def num_batches(self) -> int:
        """Batches of one epoch, the same for every epoch."""
        full, rest = divmod(self.num_rows, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def epoch(self, epoch: int) -> "EpochPlan":
        """Compute the order of one epoch: O(row groups), without the epochs before it.

        Raises:
            DataError: a negative epoch.
        """
        if not 0 <= epoch < _SEED_LIMIT:
            raise DataError(f"epoch is {epoch}; expected 0 or more")
        rows = np.array(self.row_group_rows, dtype=np.int64)
        groups = np.flatnonzero(rows).astype(np.int64)
        size = 1
        if self.shuffle:
            groups = _stream(self.seed, epoch, _Purpose.ROW_GROUPS, 0).permutation(groups)
            size = self.window_row_groups
        firsts = np.arange(0, len(groups), size)
        starts = np.zeros(len(firsts) + 1, dtype=np.int64)
        np.cumsum(np.add.reduceat(rows[groups], firsts), out=starts[1:])
        return EpochPlan(plan=self, epoch=epoch, groups=groups, size=size, starts=starts)


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """The order of one epoch; made by `Plan.epoch`.

    Attributes:
        plan: the settings.
        epoch: its number, from 0.
        groups: indices into `plan.row_group_rows` in reading order, int64 [g].
        size: row groups in a window (the last window may have fewer).
        starts: the first row of every window within the epoch, and the end, int64 [windows + 1].
    """

    plan: Plan
    epoch: int
    groups: NDArray[np.int64]
    size: int
    starts: NDArray[np.int64]

    @property
    def num_windows(self) -> int:
        """Windows of this epoch."""
        return len(self.starts) - 1

    def window_groups(self, window: int) -> NDArray[np.int64]:
        """Row groups of a window, in reading order."""
        return self.groups[window * self.size : (window + 1) * self.size]

    def window_order(self, window: int) -> NDArray[np.int64] | None:
        """Give the row order inside a window.

        Returns:
            A permutation of the window's rows (row i of the order is row `order[i]` of the row
            groups laid end to end), int64; None means as read.
        """
        if not self.plan.shuffle:
            return None
        rows = int(self.starts[window + 1] - self.starts[window])
        stream = _stream(self.plan.seed, self.epoch, _Purpose.WINDOW, window)
        return stream.permutation(rows)

    def locate(self, batch: int) -> tuple[int, int]:
        """Find where a batch starts, without replaying: (window, offset in its order).

        Raises:
            DataError: no such batch in the epoch.
        """
        if not 0 <= batch < self.plan.num_batches:
            raise DataError(
                f"batch {batch} does not exist: an epoch has {self.plan.num_batches} batches"
            )
        row = batch * self.plan.batch_size
        window = int(np.searchsorted(self.starts, row, side="right")) - 1
        return window, row - int(self.starts[window])

    def batch_rows(self, batch: int) -> int:
        """Rows of a batch: `batch_size`, but for the last one of an epoch."""
        return min(self.plan.batch_size, self.plan.num_rows - batch * self.plan.batch_size)

    def stretches(self, batch: int) -> tuple[Stretch, ...]:
        """Say what a batch is made of; it spans as many windows as it needs, ascending.

        Raises:
            DataError: no such batch in the epoch.
        """
        window, start = self.locate(batch)
        missing = self.batch_rows(batch)
        out = []
        while missing:
            rows = int(self.starts[window + 1] - self.starts[window])
            stop = min(start + missing, rows)
            out.append(Stretch(window=window, start=start, stop=stop))
            missing -= stop - start
            window, start = window + 1, 0
        return tuple(out)

    def batches(self, first: int = 0) -> Iterator[tuple[Stretch, ...]]:
        """Yield what each batch is made of, from batch `first` to the end of the epoch."""
        yield from map(self.stretches, range(first, self.plan.num_batches))
