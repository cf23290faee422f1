"""What an iteration of a loader has cost so far, and who waited for whom."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from emberline.dataloaders.device_reader import DeviceReader
from emberline.dataloaders.reader import Arrays, BatchReader

__all__ = ["LoaderStats", "Meter"]


@dataclass(frozen=True, kw_only=True)
class LoaderStats:
    """Figures of one iteration.

    Attributes:
        batches: delivered.
        rows: delivered.
        size_bytes: of the arrays delivered (strings count as pointers).
        elapsed_s: from the start of the iteration to now, or to its end.
        waited_s: time the consumer waited for batches. Near `elapsed_s`: reading is what bounds;
            near 0: the consumer is.
        readers_waited_s: time the threads waited for the consumer to take batches, summed over
            threads; 0 on a GPU, as are the two last.
        threads: that read ahead; 0 is the consumer itself.
        batches_ready: finished and not yet taken.
        rows_ahead: of those, and of the windows in work.
    """

    batches: int
    rows: int
    size_bytes: int
    elapsed_s: float
    waited_s: float
    readers_waited_s: float
    threads: int
    batches_ready: int
    rows_ahead: int

    @property
    def rows_per_s(self) -> float:
        """Rows delivered a second, the consumer's own time included."""
        return self.rows / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def bytes_per_s(self) -> float:
        """Bytes delivered a second, the consumer's own time included."""
        return self.size_bytes / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def wait_share(self) -> float:
        """Share of the time that the consumer waited, 0..1."""
        return self.waited_s / self.elapsed_s if self.elapsed_s else 0.0

    def __str__(self) -> str:
        """Say it in one line.

        >>> str(LoaderStats(batches=10, rows=655_360, size_bytes=172_000_000, elapsed_s=0.5,
        ...     waited_s=0.01, readers_waited_s=0.7, threads=2, batches_ready=3, rows_ahead=262_144))
        '655,360 rows in 0.50 s: 1.31 M rows/s, 344 MB/s; waited for data 2.0 % of the time'
        """
        return (
            f"{self.rows:,} rows in {self.elapsed_s:.2f} s: {self.rows_per_s / 1e6:.2f} M rows/s, "
            f"{self.bytes_per_s / 1e6:,.0f} MB/s; waited for data {self.wait_share:.1%} of the time"
        ).replace("% of", " % of")  # a space, as everywhere in the project


class Meter:
    """Times and counts what one iteration delivers: a few microseconds a batch.

    It does not keep the reader, which must end when the iteration is dropped.

    Args:
        reader: of the iteration; None before the first.
        rows: of each batch that it will deliver, in order.
        threads: that work for the reader.
    """

    def __init__(
        self,
        reader: BatchReader | DeviceReader | None = None,
        rows: Iterable[int] = (),
        *,
        threads: int = 0,
    ) -> None:
        """Start the clock."""
        self._ahead = reader.ahead if isinstance(reader, BatchReader) else None
        self._coming = iter(rows)
        self._threads = threads
        self._batches = self._rows = self._size_bytes = 0
        self._waited_s = 0.0
        self._began = time.perf_counter()
        self._ended: float | None = self._began if reader is None else None

    def timed(self, batches: Iterator[Arrays]) -> Iterator[Arrays]:
        """Give the same batches, and count them and the time they took to come."""
        while True:
            began = time.perf_counter()
            try:
                arrays = next(batches)
            except StopIteration:
                return
            finally:
                self._waited_s += time.perf_counter() - began
            self._batches += 1
            self._rows += next(self._coming)
            self._size_bytes += sum(array.nbytes for array in arrays.values())
            yield arrays

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock: the iteration is over."""
        self._ended = time.perf_counter()

    def read(self) -> LoaderStats:
        """Give the figures up to now."""
        ahead = self._ahead
        now = time.perf_counter() if self._ended is None else self._ended
        return LoaderStats(
            batches=self._batches,
            rows=self._rows,
            size_bytes=self._size_bytes,
            elapsed_s=now - self._began,
            waited_s=self._waited_s,
            readers_waited_s=0.0 if ahead is None else ahead.idle_s,
            threads=self._threads,
            batches_ready=0 if ahead is None else ahead.num_ready,
            rows_ahead=0 if ahead is None else ahead.rows_out,
        )
