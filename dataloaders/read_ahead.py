"""What the threads of one epoch share: which steps can be run, and which batches are ready."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from numpy.typing import NDArray

from emberline.dataloaders.column import ColumnFormat
from emberline.dataloaders.plan import EpochPlan
from emberline.dataloaders.row_source import RowSource
from emberline.dataloaders.unfinished import UnfinishedBatch
from emberline.dataloaders.window import Step, Window, window_parts

__all__ = ["Arrays", "ReadAhead"]

Arrays = dict[str, NDArray[Any]]
"""All arrays of a batch by name, targets included."""


class ReadAhead:
    """Windows of an epoch in work, within a budget, and the batches they became.

    The budget counts the rows of all windows in work and all batches not yet taken, at the mean
    size of a row in the batches so far. A window that goes over it is begun only when the batch
    that comes next needs it; without that exception a window larger than the budget would never be
    read. Decoded columns do not come on top: each is freed when its rows are in the batches.

    Threads know this object and not the iterator above it, so that the iterator is collected,
    and stops them, when its user drops it. The lock is re-entrant because that finalizer may run
    inside any allocation, also one made while this thread holds the lock.

    Attributes:
        waited_s: time the consumer waited for batches.
        idle_s: time the threads waited for the consumer to take some, summed over threads.
        rows_out: rows in work or ready, not taken.
    """

    def __init__(
        self,
        source: RowSource,
        epoch: EpochPlan,
        batches: Iterable[int],
        *,
        budget_bytes: int,
        change: Callable[[Arrays], Arrays] | None = None,
    ) -> None:
        self.waited_s = 0.0
        self.idle_s = 0.0
        self.rows_out = 0
        self._source = source
        self._epoch = epoch
        self._formats = source.formats
        self._budget_bytes = budget_bytes
        self._change = change
        self._row_bytes = sum(map(_estimated_row_bytes, source.formats))
        self._made_bytes = self._made_rows = 0
        self._coming = window_parts(epoch, (number for number, _ in groupby(batches)))
        self._upcoming = next(self._coming, None)
        self._wanted = self._upcoming.parts[0].batch if self._upcoming else 0
        self._windows: deque[Window] = deque()
        self._unfinished: dict[int, UnfinishedBatch] = {}
        self._ready: dict[int, Arrays] = {}
        self._failed: int | None = None  # the first batch that cannot be made, and why
        self._error: list[BaseException] = []
        self._stopped = False
        # One lock, two groups that wait for different things: the consumer is not woken by steps.
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)

    @property
    def num_ready(self) -> int:
        """Finished batches that wait for the consumer."""
        return len(self._ready)

    def work(self) -> None:
        """Run steps until `stop`; what they raise belongs to the consumer."""
        while True:
            with self._lock:
                began = time.perf_counter()
                while not (taken := self._next_step()) and not self._at_end:
                    self._work.wait()
                self.idle_s += time.perf_counter() - began
                if taken is None:
                    return
            self._run(*taken)

    def get(self, number: int, *, alone: bool) -> Arrays:
        """Take a batch; numbers ascend.

        Args:
            number: one of the batches.
            alone: there are no threads: the caller does the work, until this batch is ready.

        Raises:
            BaseException: what was raised in making it; nothing can be taken after that.
        """
        began = time.perf_counter()
        with self._lock:
            self._wanted = number
            self._work.notify_all()  # a window over the budget may begin now
            while True:
                if number in self._ready:
                    arrays = self._ready.pop(number)
                    self.rows_out -= self._epoch.batch_rows(number)
                    self._wanted = number + 1
                    self._work.notify_all()
                    self.waited_s += time.perf_counter() - began
                    return arrays
                if self._failed is not None and number >= self._failed:
                    self.stop()
                    raise self._error.pop()  # no name for it: its frames would hold it for ever
                if not alone:
                    self._arrived.wait()
                elif taken := self._next_step():
                    self._run(*taken)

    def stop(self) -> None:
        """Let the threads end, and free everything; a step that runs is not interrupted."""
        with self._lock:
            self._stopped = True
            self._windows.clear()
            self._unfinished.clear()
            self._ready.clear()
            self._upcoming = None
            self._arrived.notify_all()
            self._work.notify_all()

    @property
    def _at_end(self) -> bool:
        return self._stopped or (self._upcoming is None and not self._windows)

    def _next_step(self) -> tuple[Window, Step] | None:
        while not self._stopped:
            # The oldest first: it is needed first. A copy: the finalizer may empty it in the loop.
            for window in tuple(self._windows):
                if self._failed is not None and window.wanted.parts[0].batch >= self._failed:
                    return None
                step = window.next_step()
                if step is not None:
                    return window, step
            if not self._begin():
                return None
        return None

    def _begin(self) -> bool:
        coming = self._upcoming
        if coming is None or self._failed is not None:
            return False
        needed = coming.parts[0].batch <= self._wanted
        rows = self.rows_out + coming.rows
        if not needed and rows * self._row_bytes > self._budget_bytes:
            return False
        self._upcoming = next(self._coming, None)
        for part in coming.parts:
            if part.batch not in self._unfinished:
                self._unfinished[part.batch] = UnfinishedBatch(
                    self._epoch.batch_rows(part.batch), len(self._epoch.stretches(part.batch))
                )
        self._windows.append(Window(self._source, self._epoch, coming, self._unfinished))
        self.rows_out = rows
        return True

    def _run(self, window: Window, step: Step) -> None:
        try:
            step()
            with self._lock:
                done = window.step_done() and not self._stopped
                if done:
                    self._windows.remove(window)
                if done or window.has_steps:
                    self._work.notify_all()
            if done:
                self._finish(window)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the consumer raises it
            first = window.wanted.parts[0].batch
            with self._lock:
                if self._failed is None or first < self._failed:
                    self._failed = first
                    self._error = [error]
                self._arrived.notify_all()

    def _finish(self, window: Window) -> None:
        for part in window.wanted.parts:
            with self._lock:
                batch = self._unfinished.get(part.batch)
                if batch is None:
                    return  # stopped
                batch.missing -= 1
                if batch.missing:
                    continue
                del self._unfinished[part.batch]
            arrays = batch.finish(self._formats)
            if self._change is not None:
                arrays = self._change(arrays)
            with self._lock:
                if self._stopped:
                    return
                self._made_bytes += sum(map(_size_bytes, arrays.values()))
                self._made_rows += batch.rows
                self._row_bytes = self._made_bytes / self._made_rows
                self._ready[part.batch] = arrays
                self._arrived.notify_all()


def _estimated_row_bytes(form: ColumnFormat) -> float:
    """A guess for the time until the first batch is there."""
    values = form.width or (4 if form.layout == "ragged" else 1)
    return values * (64 if form.dtype.hasobject else form.dtype.itemsize)


def _size_bytes(array: NDArray[Any]) -> int:
    return array.nbytes + (56 * array.size if array.dtype.hasobject else 0)  # a short `str`
