"""What a device table gives and leaves as it is: the part of `DeviceTable`."""

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.errors import ArrayShapeError, RowIndexError
from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.gpu.primitives import exclusive_sum
from emberline.kernels.gpu.storage import BAD, NOTHING_BAD, TOTAL, VALID, DeviceStorage

__all__ = ["ANY_LENGTH", "DeviceReading", "first_bad_offset"]


ANY_LENGTH = 2**63 - 1  # of a segment


class DeviceReading:
    """The part of `DeviceTable` that reads, and checks arguments before anything is written."""

    storage: DeviceStorage
    _launcher: Launcher

    def find(self, keys: DeviceArray, count: int) -> DeviceArray:
        """Give int64 [count] rows, -1 where absent."""
        return self._find(keys, count, self.storage.counters())

    def lookup(
        self, keys: DeviceArray, count: int, initial: bool, out: DeviceArray, stride: int
    ) -> None:
        """Write the weights of keys to `out`, rows `stride` floats apart; never inserts.

        Args:
            keys: int64 [count].
            count: how many.
            initial: an absent key gives what it would start with, else zeros.
            out: float32.
            stride: at least dim.
        """
        rows = self.find(keys, count)
        self.write_gathered(rows, count, None, out, stride)
        if initial and count:
            self._launcher.launch(
                "emberline_initial",
                count * self.storage.dim,
                self.storage.view,
                keys,
                rows,
                count,
                out,
                stride,
            )

    def gather(
        self,
        rows: DeviceArray,
        count: int,
        missing: DeviceArray | None,
        out: DeviceArray,
        stride: int,
    ) -> None:
        """Write the weights of rows to `out`; -1 gives `missing`, float32 [dim], or zeros.

        Raises:
            RowIndexError: a row that no live key has, before anything is written.
        """
        self.check_rows(rows, count)
        self.write_gathered(rows, count, missing, out, stride)

    def gather_pooled(
        self,
        rows: DeviceArray,
        count: int,
        offsets: DeviceArray,
        segments: int,
        combiner: int,
        max_length: int | None,
        weights: DeviceArray | None,
        missing: DeviceArray | None,
        out: DeviceArray,
        stride: int,
    ) -> None:
        """Combine each segment of rows, in order of position; -1 adds `missing`, or nothing.

        Raises:
            RowIndexError: a row that no live key has.
            ArrayShapeError: offsets that are no partition of the rows; before anything is written.
        """
        self.check_rows(rows, count)
        self.check_offsets(offsets, segments, count)
        self.write_pooled(
            rows, offsets, segments, combiner, max_length, weights, missing, out, stride
        )

    def write_gathered(
        self,
        rows: DeviceArray,
        count: int,
        missing: DeviceArray | None,
        out: DeviceArray,
        stride: int,
    ) -> None:
        """Do the work of `gather`; the rows are checked."""
        if count:
            work = count * self.storage.dim
            self._launcher.launch(
                "emberline_gather", work, self.storage.view, rows, count, missing, out, stride
            )

    def write_pooled(
        self,
        rows: DeviceArray,
        offsets: DeviceArray,
        segments: int,
        combiner: int,
        max_length: int | None,
        weights: DeviceArray | None,
        missing: DeviceArray | None,
        out: DeviceArray,
        stride: int,
    ) -> None:
        """Do the work of `gather_pooled`; rows and offsets are checked."""
        if segments:
            self._launcher.launch(
                "emberline_pool",
                segments * self.storage.dim,
                self.storage.view,
                rows,
                offsets,
                segments,
                combiner,
                ANY_LENGTH if max_length is None else max_length,
                weights,
                missing,
                out,
                stride,
            )

    def export(
        self,
        start: int,
        stop: int,
        since: int,
        keys: DeviceArray,
        values: DeviceArray | None,
        states: DeviceArray | None,
        frequency: DeviceArray | None,
        last_step: DeviceArray | None,
    ) -> int:
        """Copy the live rows of [start, stop) that were written after `since`, in row order.

        Returns:
            How many; each output has room for `stop - start` rows, None leaves it out.
        """
        storage, launcher = self.storage, self._launcher
        count = min(stop, storage.row_limit) - start
        if count <= 0:
            return 0
        counters = storage.counters()
        flags = launcher.empty(count, np.uint32)
        launcher.launch("emberline_mark_rows", count, storage.view, start, count, since, flags)
        rank = exclusive_sum(launcher, flags, count, counters)
        launcher.launch(
            "emberline_export",
            count * storage.dim,
            storage.view,
            start,
            count,
            flags,
            rank,
            keys,
            values,
            states,
            frequency,
            last_step,
        )
        return int(launcher.download(counters)[TOTAL])

    def keys_since(self, since: int) -> NDArray[np.int64]:
        """Give the keys of rows written after version `since`, on the host, in row order."""
        limit = self.storage.row_limit
        keys = self._launcher.empty(limit, np.int64)
        count = self.export(0, limit, since, keys, None, None, None, None)
        return self._launcher.download(keys[:count])

    def check_rows(self, rows: DeviceArray, count: int) -> int:
        """Count the rows that are not -1.

        Raises:
            RowIndexError: a row that no live key has.
        """
        if count == 0:
            return 0
        storage, launcher = self.storage, self._launcher
        counters, limit, name = storage.counters(), storage.row_limit, storage.settings.name
        launcher.launch("emberline_check_rows", count, storage.view, rows, count, limit, counters)
        words = launcher.download(counters)
        at = int(words[BAD])
        if at == NOTHING_BAD:
            return int(words[VALID])
        row = int(launcher.download(rows[at : at + 1])[0])
        if not 0 <= row < limit:
            raise RowIndexError(
                f"rows[{at}] is {row}, but table {name!r} has rows 0 to {limit - 1} (-1: no row); "
                "use the rows that find or find_or_insert returned"
            )
        raise RowIndexError(
            f"rows[{at}] is {row}, a row of table {name!r} whose key was erased; look the key up "
            "again"
        )

    def check_offsets(self, offsets: DeviceArray, segments: int, count: int) -> None:
        """Check that offsets cut `count` rows into segments.

        Raises:
            ArrayShapeError: they do not, naming the index.
        """
        at = self._first_bad("emberline_check_offsets", segments + 1, offsets, segments, count)
        if at is not None:
            found = int(self._launcher.download(offsets[at : at + 1])[0])
            raise ArrayShapeError(_bad_offset(at, found, count))

    def _find(self, keys: DeviceArray, count: int, counters: DeviceArray) -> DeviceArray:
        rows = self._launcher.empty(count, np.int64)
        if count:
            self._launcher.launch(
                "emberline_find", count, self.storage.view, keys, count, rows, counters
            )
        return rows

    def _first_bad(self, kernel: str, work: int, *arguments: DeviceArray | int) -> int | None:
        """Run a check; give the first position it refused."""
        if work == 0:
            return None
        counters = self.storage.counters()
        self._launcher.launch(kernel, work, *arguments, counters)
        bad = int(self._launcher.download(counters)[BAD])
        return None if bad == NOTHING_BAD else bad


def first_bad_offset(offsets: NDArray[np.int64], segments: int, count: int) -> str | None:
    """Say what is wrong with offsets on the host, as `DeviceReading.check_offsets` does."""
    least = np.concatenate([[0], offsets[:-1]])
    wrong = (offsets < least) | (offsets > count)
    wrong[0] |= offsets[0] != 0
    wrong[segments] |= offsets[segments] != count
    bad = np.flatnonzero(wrong)
    return _bad_offset(int(bad[0]), int(offsets[bad[0]]), count) if bad.size else None


def _bad_offset(at: int, found: int, count: int) -> str:
    return (
        f"offsets[{at}] is {found}; offsets must start at 0, never fall and end at "
        f"len(rows) = {count}"
    )
