"""Which keys leave a table on a device, and what it knows of them: the part of `DeviceTable`."""

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from emberline.kernels import _cpu
from emberline.kernels.errors import TableFullError, VersionError
from emberline.kernels.gpu.device_reading import DeviceReading
from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.primitives import RowMasks
from emberline.kernels.gpu.removal_log import RemovalLog
from emberline.kernels.gpu.storage import SLOTS, TOTAL
from emberline.kernels.gpu.victims import Victims, first_to_leave, updated_before

__all__ = ["DevicePolicies"]

_PROBE_BUCKETS = 16  # kProbeBuckets in index.cuh


class DevicePolicies(DeviceReading):
    """The part of `DeviceTable` that removes keys by rule and reports it; see cpu/policies.cpp.

    The scans run on the device. On the host are the log of removals, the counts of admission
    (`device_admission` says why) and the numbers below.
    """

    log: RemovalLog
    admission: _cpu.Admission | None
    newest_step: int  # the largest last step since the table was empty
    evicted: int  # by a policy, since the table was made
    erased: int  # by erase and clear
    rejected: int  # occurrences that admission refused

    def restrict(self, num_reserved: int, trigger: int, score: int) -> int:
        """Keep the `num_reserved` rows of highest score; give how many left.

        Raises:
            MemoryError: no memory for the free list or the scan; nothing changed.
        """
        size = self.storage.size
        if size <= trigger or size <= num_reserved:
            return 0
        return self._evict(first_to_leave(self.storage, score, size - num_reserved, None))

    def expire_before(self, step: int) -> int:
        """Remove the rows last updated before `step`; give how many.

        Raises:
            MemoryError: no memory for the free list or the scan; nothing changed.
        """
        if step == 0 or self.storage.size == 0:
            return 0
        return self._evict(updated_before(self.storage, step))

    def expire_older_than(self, steps: int) -> int:
        """Remove the rows last updated more than `steps` before the newest; give how many."""
        return self.expire_before(max(0, self.newest_step - steps))

    def decay_frequency(self, factor: float) -> None:
        """Multiply all frequencies by `factor`, 0 to 1, and round down; candidates' too."""
        limit = self.storage.row_limit
        double = self._launcher.upload(np.array([factor], np.float64))
        if self.admission is not None:
            self.admission.decay(factor)
        self._launcher.launch("emberline_decay", limit, self.storage.view, limit, double)

    def shrink(self) -> None:
        """Move the highest rows into the free ones below `size`, and give back what is left over.

        Raises:
            TableFullError: no memory for what the smaller table needs beside the present one;
                nothing changed.
        """
        storage = self.storage
        chunks = storage.chunks_for(storage.size)
        try:
            moves = self._moves()
            shrunk = storage.begin_shrink()
            if chunks < storage.chunk_count:
                storage.rebuild_index(chunks)
        except MemoryError as reason:
            raise TableFullError(
                f"table {storage.settings.name!r} is out of memory: the device refused the memory "
                "that a smaller index and the lists of rows to move need; erase keys first"
            ) from reason
        if moves is not None:
            count, sources, targets = moves
            work = count * storage.dim
            self._launcher.launch(
                "emberline_move_rows", work, storage.view, sources, targets, count
            )
        storage.finish_shrink(*shrunk)

    def changed_since(self, since: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Name the keys written after version `since`, and those removed after it and absent now.

        Raises:
            VersionError: an open version, or one that is too old for the log.
        """
        name, version = self.storage.settings.name, self.storage.version
        if since >= version:
            raise VersionError(
                f"table {name!r}: version {since} is not closed, the open one is {version}; use a "
                "number that advance_version returned, or 0 for all"
            )
        if since < self.log.begin:
            raise VersionError(
                f"table {name!r}: the keys removed since version {since} are no longer all known, "
                f"those since version {self.log.begin} are; start over from a full export, or make "
                "the table with a larger eviction_log"
            )
        removed = self.log.keys_since(since)
        rows = self.find(self._launcher.upload(removed), removed.shape[0])
        return self.keys_since(since), removed[self._launcher.download(rows) < 0]

    def stats(self) -> tuple[list[int], list[int]]:
        """Count as `_cpu.Table.stats`; tombstones and probe lengths may differ from the CPU's.

        Where a key lies among the slots that it may have depends on timing here.
        """
        storage = self.storage
        probes = self._launcher.zeros(_PROBE_BUCKETS, np.uint64)
        self._launcher.launch(
            "emberline_probe_lengths",
            storage.chunk_count * SLOTS,
            storage.view,
            storage.chunk_count,
            probes,
        )
        counts = [
            storage.size,
            storage.chunk_count * SLOTS,
            storage.tombstones,
            storage.free_count,
            0 if self.admission is None else self.admission.candidates(),
            self.evicted,
            self.erased,
            self.rejected,
            len(self.log),
        ]
        return counts, [int(keys) for keys in self._launcher.download(probes)]

    def reserve_removals(self, count: int) -> None:
        """Make room for all that removing `count` keys writes.

        Raises:
            MemoryError: with nothing changed.
        """
        self.storage.ensure_free(count)
        self.log.reserve(count)

    def remove(self, victims: Victims, *, reversed_: bool) -> None:
        """Take rows out, after `reserve_removals`; cannot fail.

        Args:
            victims: the rows.
            reversed_: the first one is reused first, else the last one.
        """
        storage = self.storage
        self._launcher.launch(
            "emberline_remove",
            victims.count,
            storage.view,
            victims.rows,
            victims.count,
            storage.free_count,
            int(reversed_),
            victims.changes,
        )
        storage.free_count += victims.count
        storage.size -= victims.count
        self.log.append(victims.keys, storage.version)
        storage.settle(victims.changes, sign=1)

    def _evict(self, victims: Victims) -> int:
        """Remove rows and give back the slabs that are empty then."""
        if victims.count == 0:
            return 0
        self.reserve_removals(victims.count)
        self.remove(victims, reversed_=True)
        self.evicted += victims.count
        with suppress(MemoryError):  # no room for the smaller table of pointers: the slabs stay
            self.storage.give_back_empty_slabs()
        return victims.count

    def _moves(self) -> tuple[int, DeviceArray, DeviceArray] | None:
        """List the live rows from `size` on and the free ones below it, each ascending."""
        storage = self.storage
        size, beyond = storage.size, storage.row_limit - storage.size
        if size == 0 or beyond == 0:
            return None
        sources = self._marked(size, beyond, live=True)
        targets = self._marked(0, size, live=False)
        assert sources[0] == targets[0], "the free list does not fit the live bits"
        return None if sources[0] == 0 else (*sources, targets[1])

    def _marked(self, start: int, count: int, *, live: bool) -> tuple[int, DeviceArray]:
        launcher, view = self._launcher, self.storage.view
        marks, counters = RowMasks(launcher, start, count), self.storage.counters()
        launcher.launch(
            "emberline_mark_live", count, view, start, count, int(live), marks.masks, marks.counts
        )
        marks.sum(counters)
        chosen = int(launcher.download(counters)[TOTAL])
        return chosen, marks.rows(view, chosen, None)
