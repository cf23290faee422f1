"""An epoch's batches in a GPU's memory, in the order of the plan.

Row groups are decoded on the host by threads, one window ahead; each column is copied to the
device once and the rows of every batch are taken there. Not yet run on a real GPU: the tests run
all of it with NumPy in CuPy's place.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from types import TracebackType
from typing import Any, Self

from emberline.dataloaders.column import Column
from emberline.dataloaders.device_gather import DeviceColumn, DevicePiece, gather_rows, upload
from emberline.dataloaders.plan import EpochPlan
from emberline.dataloaders.row_source import RowSource

__all__ = ["DeviceReader"]

_Group = dict[str, list[Column]]


class DeviceReader(Iterator[dict[str, Any]]):
    """The batches of an epoch, in order; like `BatchReader`, in the memory of `xp`.

    The arrays are made on the stream that is current where they are taken.

    Args:
        xp: CuPy, or NumPy.
        source: the row groups; no strings and no dates, see `check_formats`.
        epoch: the order.
        batches: their numbers, ascending; one that comes twice is delivered twice.
        change: what happens to the arrays of each batch, where they are taken.
        threads: how many decode the next window while this one is used; 0 decodes when asked.

    Raises:
        DataError, ParquetFileError: while iterating, from `RowSource.read`.
    """

    def __init__(
        self,
        xp: Any,
        source: RowSource,
        epoch: EpochPlan,
        batches: Iterable[range],
        *,
        change: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        threads: int = 0,
    ) -> None:
        """Start nothing: threads begin with the first batch."""
        runs = tuple(batches)
        # Its threads wait for nobody, and end when the pool is collected or closed.
        self._pool = ThreadPoolExecutor(threads, "emberline-decode") if threads else None
        self._windows = _Windows(xp, source, epoch, runs, self._pool)
        self._batches = map(self._windows.gather, chain.from_iterable(runs))
        if change is not None:
            self._batches = map(change, self._batches)

    def __next__(self) -> dict[str, Any]:
        return next(self._batches)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop decoding and wait for the threads' end."""
        self._batches = map(self._windows.gather, ())
        self._windows.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class _Windows:
    """The window that batches are taken from, and the next one in decoding."""

    def __init__(
        self,
        xp: Any,
        source: RowSource,
        epoch: EpochPlan,
        runs: Sequence[range],
        pool: ThreadPoolExecutor | None,
    ) -> None:
        self._xp = xp
        self._source = source
        self._epoch = epoch
        self._pool = pool
        last = [epoch.stretches(run[-1])[-1].window for run in runs[-1:] if run]
        self._last = last[0] if last else -1
        self._coming: dict[int, list[Future[_Group]]] = {}
        self._number = -1
        self._columns: dict[str, DeviceColumn] = {}
        self._order: Any = None

    def gather(self, batch: int) -> dict[str, Any]:
        pieces = []
        for stretch in self._epoch.stretches(batch):
            if stretch.window != self._number:
                self._load(stretch.window)
            rows: Any = slice(stretch.start, stretch.stop)
            rows = rows if self._order is None else self._order[rows]
            pieces.append(DevicePiece(window=self._columns, rows=rows))
        return gather_rows(self._xp, pieces, self._source.formats)

    def clear(self) -> None:
        self._coming.clear()
        self._columns = {}

    def _load(self, window: int) -> None:
        self._number = -1  # where decoding fails there is no window
        groups = self._decoded(window)
        if self._pool is not None and window < self._last:
            self._coming[window + 1] = self._submit(window + 1, self._pool)
        self._columns = {
            form.name: upload(
                self._xp, form, [part for group in groups for part in group[form.name]]
            )
            for form in self._source.formats
        }
        order = self._epoch.window_order(window)
        self._order = None if order is None else self._xp.asarray(order)
        self._number = window

    def _decoded(self, window: int) -> list[_Group]:
        if self._pool is None:
            return [self._source.read(int(g)) for g in self._epoch.window_groups(window)]
        coming = self._coming.pop(window, None) or self._submit(window, self._pool)
        return [future.result() for future in coming]

    def _submit(self, window: int, pool: ThreadPoolExecutor) -> list[Future[_Group]]:
        groups = self._epoch.window_groups(window)
        return [pool.submit(self._source.read, int(group)) for group in groups]
