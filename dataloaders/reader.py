"""An epoch's batches in the order of the plan, made ahead of the consumer by threads."""

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Self

from emberline.dataloaders.batch import aligned_copy
from emberline.dataloaders.plan import EpochPlan
from emberline.dataloaders.read_ahead import Arrays, ReadAhead
from emberline.dataloaders.row_source import RowSource
from emberline.errors import DataError

__all__ = ["Arrays", "BatchReader", "available_cores"]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


class BatchReader(Iterator[Arrays]):
    """The batches of an epoch, in order.

    Row groups are decoded and columns gathered by `threads` threads; which of them does what
    changes no bit. They end with the iteration, with `close`, when nobody holds the reader any
    more, and at interpreter exit, each after the step (a row group, a column) that it is in. An
    exception of theirs is raised here, at the batch that needs the row group.

    Args:
        source: the row groups.
        epoch: the order.
        batches: their numbers, ascending; a number that comes twice in a row is delivered twice,
            in arrays of its own each time. Batches that are not named cost nothing unless they
            share a window with one that is.
        threads: how many read ahead; 0 reads in the calling thread when asked.
        change: what happens to the arrays of each batch, in the threads.
        budget_bytes: of batches made ahead; the window that the next batch comes from is always
            read, whatever its size.

    Raises:
        DataError, ParquetFileError: while iterating, from `RowSource.read`.
    """

    def __init__(
        self,
        source: RowSource,
        epoch: EpochPlan,
        batches: Iterable[range],
        *,
        threads: int = 0,
        change: Callable[[Arrays], Arrays] | None = None,
        budget_bytes: int = 0,
    ) -> None:
        """Start the threads."""
        runs = tuple(batches)
        self._numbers = chain.from_iterable(runs)
        self._next = next(self._numbers, None)
        self._again: Arrays | None = None
        self._process = os.getpid()
        self._alone = threads == 0
        self.ahead = ReadAhead(
            source, epoch, chain.from_iterable(runs), budget_bytes=budget_bytes, change=change
        )
        # Daemons: at exit the interpreter would otherwise wait for threads that wait for room
        # before it runs the finalizer that stops them.
        workers = [
            threading.Thread(target=self.ahead.work, name=f"emberline-read-{i}", daemon=True)
            for i in range(threads)
        ]
        self._finalizer = weakref.finalize(self, _shut, self.ahead, workers, self._process)
        for worker in workers:
            worker.start()

    def __next__(self) -> Arrays:
        number = self._next
        if number is None:
            self.close()
            raise StopIteration
        if os.getpid() != self._process:
            raise DataError(
                "this iteration of a loader was begun before the process forked, and its threads "
                "are in the parent; begin a new one here: iter(loader)"
            )
        arrays = self._again
        if arrays is None:
            self._next = None  # raised once: later calls find the end, as with any failed iterator
            try:
                arrays = self.ahead.get(number, alone=self._alone)
            except BaseException:  # an error, or Ctrl-C while waiting
                self.close()
                raise
        self._next = next(self._numbers, None)
        repeated = self._next == number
        # Copied before the consumer has it and may write into it.
        self._again = {n: aligned_copy(a) for n, a in arrays.items()} if repeated else None
        return arrays

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and wait for their end; batches already made are dropped."""
        self._finalizer()


def _shut(ahead: ReadAhead, workers: list[threading.Thread], process: int) -> None:
    if os.getpid() != process:
        return  # a forked child has no such threads, and perhaps a lock that nobody will release
    ahead.stop()
    # The collector runs finalizers in any thread, also in a worker that holds the lock which the
    # others need in order to end.
    if threading.current_thread() not in workers:
        for worker in workers:
            worker.join()
