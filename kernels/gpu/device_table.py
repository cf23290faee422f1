"""The table's steps on device arrays: each a short sequence of kernels without locks."""

import numpy as np

from emberline.kernels.errors import ArrayShapeError, RowIndexError, TableFullError
from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.gpu.primitives import Part, distinct, exclusive_sum, sort_by_row
from emberline.kernels.gpu.storage import BAD, MISSING, NOTHING_BAD, TOTAL, DeviceStorage
from emberline.kernels.table_settings import TableSettings

__all__ = ["DeviceTable"]

_MOST_KEYS = 2**31 - 1  # of one call: positions are 32 bits, their scratch table twice as large


class DeviceTable:
    """A table in device memory, called with device arrays; one call at a time.

    Row numbers, vectors and states are the CPU table's, bit for bit: no sum depends on timing.
    A call that inserts, erases, exports or checks row numbers waits for the device; `find` and
    `lookup` do not.

    Args:
        settings: the table's.
        launcher: of the device.
        hash_bits: below 64 only in tests.
    """

    def __init__(self, settings: TableSettings, launcher: Launcher, *, hash_bits: int = 64) -> None:
        self.storage = DeviceStorage(settings, launcher, hash_bits)
        self._launcher = launcher

    def find(self, keys: DeviceArray, count: int) -> DeviceArray:
        """Give int64 [count] rows, -1 where absent."""
        return self._find(keys, count, self.storage.counters())

    def find_or_insert(self, keys: DeviceArray, count: int) -> DeviceArray:
        """Give int64 [count] rows; absent keys get new ones, numbered by first occurrence.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        storage, launcher = self.storage, self._launcher
        _check_count(count)
        counters = storage.counters()
        rows = self._find(keys, count, counters)
        if count == 0 or launcher.download(counters)[MISSING] == 0:
            return rows
        try:
            chosen, flags = distinct(
                launcher, storage.view, keys, rows, count, Part.MISSING, counters
            )
            rank = exclusive_sum(launcher, flags, count, counters)
            changes = storage.counters()
        except MemoryError as reason:
            raise self._no_scratch(count) from reason
        new = int(launcher.download(counters)[TOTAL])
        storage.settle(counters, sign=0)
        storage.ensure_room(new)
        free_count, row_limit = storage.free_count, storage.row_limit
        launcher.launch(
            "emberline_insert",
            count,
            storage.view,
            keys,
            chosen,
            rank,
            count,
            free_count,
            row_limit,
            storage.version,
            rows,
            changes,
        )
        work = new * (storage.dim + storage.state_floats)
        launcher.launch("emberline_initialize", work, storage.view, new, free_count, row_limit)
        reused = min(new, free_count)
        storage.free_count -= reused
        storage.row_limit += new - reused
        storage.size += new
        storage.settle(changes, sign=-1)
        return rows

    def erase(self, keys: DeviceArray, count: int) -> int:
        """Remove keys; give how many there were.

        Raises:
            MemoryError: no room for the free list, before any change.
        """
        storage, launcher = self.storage, self._launcher
        _check_count(count)
        if count == 0 or storage.size == 0:
            return 0
        storage.ensure_free(min(count, storage.size))
        counters = storage.counters()
        rows = self._find(keys, count, counters)
        _, flags = distinct(launcher, storage.view, keys, rows, count, Part.PRESENT, counters)
        rank = exclusive_sum(launcher, flags, count, counters)
        launcher.launch(
            "emberline_erase",
            count,
            storage.view,
            keys,
            flags,
            rank,
            count,
            storage.free_count,
            counters,
        )
        storage.settle(counters, sign=1)
        erased = int(launcher.download(counters)[TOTAL])
        storage.free_count += erased
        storage.size -= erased
        return erased

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
        self._gather(rows, count, out, stride)
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

    def gather(self, rows: DeviceArray, count: int, out: DeviceArray, stride: int) -> None:
        """Write the weights of rows to `out`; -1 gives zeros.

        Raises:
            RowIndexError: a row that no live key has, before anything is written.
        """
        self._check_rows(rows, count)
        self._gather(rows, count, out, stride)

    def gather_pooled(
        self,
        rows: DeviceArray,
        count: int,
        offsets: DeviceArray,
        segments: int,
        combiner: int,
        weights: DeviceArray | None,
        out: DeviceArray,
        stride: int,
    ) -> None:
        """Combine each segment of rows, in order of position.

        Raises:
            RowIndexError: a row that no live key has.
            ArrayShapeError: offsets that are no partition of the rows; before anything is written.
        """
        launcher, view = self._launcher, self.storage.view
        self._check_rows(rows, count)
        at = self._first_bad("emberline_check_offsets", segments + 1, offsets, segments, count)
        if at is not None:
            found = int(launcher.download(offsets[at : at + 1])[0])
            raise ArrayShapeError(
                f"offsets[{at}] is {found}; offsets must start at 0, never fall and end at "
                f"len(rows) = {count}"
            )
        if segments:
            launcher.launch(
                "emberline_pool",
                segments * self.storage.dim,
                view,
                rows,
                offsets,
                segments,
                combiner,
                weights,
                out,
                stride,
            )

    def apply_gradients(
        self,
        rows: DeviceArray,
        count: int,
        gradients: DeviceArray,
        gradient_rows: int,
        stride: int,
        source: DeviceArray | None,
        scale: DeviceArray | None,
        step: int,
        learning_rate: float,
    ) -> None:
        """Sum the gradients of equal rows in order of position and update each row once.

        Raises:
            RowIndexError: a row that no live key has, or a source outside of the gradients;
                before any change.
        """
        storage, launcher = self.storage, self._launcher
        self._check_rows(rows, count)
        if source is not None:
            at = self._first_bad("emberline_check_source", count, source, count, gradient_rows)
            if at is not None:
                found = int(launcher.download(source[at : at + 1])[0])
                raise RowIndexError(
                    f"source[{at}] is {found}, but gradients has rows 0 to {gradient_rows - 1}"
                )
        if count == 0:
            return
        counters = storage.counters()
        words = sort_by_row(launcher, rows, count, storage.row_limit)
        flags = launcher.empty(count, np.uint32)
        launcher.launch(
            "emberline_segment_heads", count, words, count, storage.row_limit, flags, counters
        )
        rank = exclusive_sum(launcher, flags, count, counters)
        starts, positions = launcher.empty(count, np.uint32), launcher.empty(count, np.uint32)
        launcher.launch("emberline_segments", count, words, count, flags, rank, starts, positions)
        launcher.launch(
            "emberline_update",
            count * storage.dim,
            storage.view,
            words,
            starts,
            positions,
            counters,
            gradients,
            gradient_rows,
            stride,
            source,
            scale,
            float(learning_rate),
            step,
            storage.version,
        )

    def upsert(
        self,
        keys: DeviceArray,
        count: int,
        values: DeviceArray,
        stride: int,
        states: DeviceArray | None,
        frequency: DeviceArray | None,
        last_step: DeviceArray | None,
    ) -> None:
        """Insert absent keys and write rows; the last of equal keys wins.

        Args:
            keys: int64 [count].
            count: how many.
            values: float32, `stride` floats from row to row.
            stride: at least dim.
            states: float32 [count, states]; None leaves them.
            frequency: uint32 [count]; None leaves it.
            last_step: uint32 [count]; None leaves it.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        storage, launcher = self.storage, self._launcher
        _check_count(count)
        if count == 0:
            return
        try:  # all memory before the first change; with Part.ALL the rows do not matter
            counters = storage.counters()
            chosen, _ = distinct(
                launcher, storage.view, keys, keys, count, Part.ALL, counters, last=True
            )
        except MemoryError as reason:
            raise self._no_scratch(count) from reason
        rows = self.find_or_insert(keys, count)
        launcher.launch(
            "emberline_write_rows",
            count * storage.dim,
            storage.view,
            rows,
            chosen,
            count,
            values,
            stride,
            states,
            frequency,
            last_step,
            storage.version,
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

    def _find(self, keys: DeviceArray, count: int, counters: DeviceArray) -> DeviceArray:
        rows = self._launcher.empty(count, np.int64)
        if count:
            self._launcher.launch(
                "emberline_find", count, self.storage.view, keys, count, rows, counters
            )
        return rows

    def _no_scratch(self, count: int) -> TableFullError:
        return TableFullError(
            f"table {self.storage.settings.name!r} is out of memory: the device refused the "
            f"scratch memory for a batch of {count} keys; use smaller batches"
        )

    def _gather(self, rows: DeviceArray, count: int, out: DeviceArray, stride: int) -> None:
        if count:
            work = count * self.storage.dim
            self._launcher.launch(
                "emberline_gather", work, self.storage.view, rows, count, out, stride
            )

    def _first_bad(self, kernel: str, work: int, *arguments: DeviceArray | int) -> int | None:
        """Run a check; give the first position it refused."""
        if work == 0:
            return None
        counters = self.storage.counters()
        self._launcher.launch(kernel, work, *arguments, counters)
        bad = int(self._launcher.download(counters)[BAD])
        return None if bad == NOTHING_BAD else bad

    def _check_rows(self, rows: DeviceArray, count: int) -> None:
        limit, name = self.storage.row_limit, self.storage.settings.name
        at = self._first_bad("emberline_check_rows", count, self.storage.view, rows, count, limit)
        if at is None:
            return
        row = int(self._launcher.download(rows[at : at + 1])[0])
        if not 0 <= row < limit:
            raise RowIndexError(
                f"rows[{at}] is {row}, but table {name!r} has rows 0 to {limit - 1} (-1: no row); "
                "use the rows that find or find_or_insert returned"
            )
        raise RowIndexError(
            f"rows[{at}] is {row}, a row of table {name!r} whose key was erased; look the key up "
            "again"
        )


def _check_count(count: int) -> None:
    if count > _MOST_KEYS:
        raise ArrayShapeError(f"keys has {count} entries; a call on a GPU takes {_MOST_KEYS}")
