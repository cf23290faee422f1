"""The table's steps on device arrays: each a short sequence of kernels without locks."""

import numpy as np

from emberline.kernels.errors import RowIndexError
from emberline.kernels.gpu.device_admission import make_admission
from emberline.kernels.gpu.device_insertion import DeviceInsertion, check_count
from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.gpu.primitives import Part, distinct
from emberline.kernels.gpu.removal_log import RemovalLog
from emberline.kernels.gpu.storage import DeviceStorage
from emberline.kernels.gpu.update import Update, prepare_update
from emberline.kernels.table_settings import TableSettings

__all__ = ["DeviceTable"]


class DeviceTable(DeviceInsertion):
    """A table in device memory, called with device arrays; one call at a time.

    Row numbers, vectors and states are the CPU table's, bit for bit: no sum depends on timing.
    A call that inserts, removes, exports or checks row numbers waits for the device; `find` and
    `lookup` do not.

    Args:
        settings: the table's.
        launcher: of the device.
        hash_bits: below 64 only in tests.

    Raises:
        MemoryError: no room for an empty table.
        TableFullError: no memory for the sketch of an admission.
    """

    def __init__(self, settings: TableSettings, launcher: Launcher, *, hash_bits: int = 64) -> None:
        self.storage = DeviceStorage(settings, launcher, hash_bits)
        self.log = RemovalLog(int(settings.eviction_log))
        self.admission = make_admission(settings, hash_bits)
        self.newest_step = self.evicted = self.erased = self.rejected = 0
        self._launcher = launcher

    def clear(self) -> None:
        """Remove all keys and give the memory back.

        Raises:
            MemoryError: before any change.
        """
        keys, size = self.keys_since(0), self.storage.size
        self.log.reserve(size)
        self.storage.clear()
        self.log.append(keys, self.storage.version)
        self.erased += size
        self.newest_step = 0
        if self.admission is not None:
            self.admission.clear()

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
        valid = self.check_rows(rows, count)
        if source is not None:
            at = self._first_bad("emberline_check_source", count, source, count, gradient_rows)
            if at is not None:
                found = int(self._launcher.download(source[at : at + 1])[0])
                raise RowIndexError(
                    f"source[{at}] is {found}, but gradients has rows 0 to {gradient_rows - 1}"
                )
        if valid:
            storage = self.storage
            update = prepare_update(
                self._launcher, storage.counters(), rows, count, storage.row_limit
            )
            self.update(
                update, gradients, gradient_rows, stride, source, scale, step, learning_rate
            )

    def update(
        self,
        update: Update,
        gradients: DeviceArray,
        gradient_rows: int,
        stride: int,
        source: DeviceArray | None,
        scale: DeviceArray | None,
        step: int,
        learning_rate: float,
    ) -> None:
        """Carry out what `prepare_update` prepared: the rows are checked and some are not -1."""
        self.newest_step = max(self.newest_step, step)
        self._launcher.launch(
            "emberline_update",
            update.count * self.storage.dim,
            self.storage.view,
            update.words,
            update.starts,
            update.positions,
            update.counters,
            gradients,
            gradient_rows,
            stride,
            source,
            scale,
            float(learning_rate),
            step,
            self.storage.version,
        )

    def add(
        self, keys: DeviceArray, count: int, values: DeviceArray, stride: int, initial: bool
    ) -> None:
        """Insert absent keys, whatever admission says, and add to rows in order of position.

        Args:
            keys: int64 [count].
            count: how many.
            values: float32, `stride` floats from row to row.
            stride: at least dim.
            initial: an absent key starts from its initial weights, else from zeros.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        storage = self.storage
        check_count(count)
        if count == 0:
            return
        launcher = self._launcher
        try:  # all memory before the first change: equal keys are sorted by their first position
            counters = storage.counters()
            chosen, _ = distinct(launcher, storage.view, keys, keys, count, Part.ALL, counters)
            first = launcher.empty(count, np.int64)
            launcher.launch("emberline_widen", count, chosen, count, first)
            update = prepare_update(launcher, storage.counters(), first, count, count)
        except MemoryError as reason:
            raise self._no_scratch(count) from reason
        rows = self.insert(self.prepare_insert(keys, count, admit_all=True), initial=initial)
        launcher.launch(
            "emberline_add",
            count * storage.dim,
            storage.view,
            rows,
            update.starts,
            update.positions,
            update.counters,
            values,
            stride,
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
        newest_step: int = 0,
    ) -> None:
        """Insert absent keys, whatever admission says, and write rows; the last of equals wins.

        Args:
            keys: int64 [count].
            count: how many.
            values: float32, `stride` floats from row to row.
            stride: at least dim.
            states: float32 [count, states]; None leaves them.
            frequency: uint32 [count]; None leaves it.
            last_step: uint32 [count]; None leaves it.
            newest_step: the largest of `last_step`.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        storage, launcher = self.storage, self._launcher
        check_count(count)
        if count == 0:
            return
        try:  # all memory before the first change; with Part.ALL the rows do not matter
            counters = storage.counters()
            chosen, _ = distinct(
                launcher, storage.view, keys, keys, count, Part.ALL, counters, last=True
            )
        except MemoryError as reason:
            raise self._no_scratch(count) from reason
        rows = self.insert(self.prepare_insert(keys, count, admit_all=True))
        self.newest_step = max(self.newest_step, newest_step)
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
