"""Policies, versions and counts of a device table behind the CPU extension's methods."""

import threading

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.errors import TableFullError
from emberline.kernels.gpu.device_table import DeviceTable
from emberline.kernels.gpu.launcher import Launcher

__all__ = ["HostPolicies"]

Integers = NDArray[np.int64]
Counts = NDArray[np.uint32]
Cells = NDArray[np.uint8]


class HostPolicies:
    """The part of `HostTable` that admits and removes keys by rule; see `_cpu.Table`."""

    on_device: DeviceTable
    _launcher: Launcher
    lock: threading.Lock

    def version(self) -> int:
        """Give the open version."""
        return self.on_device.storage.version

    def advance_version(self) -> int:
        """Close the current version and give it."""
        with self.lock:
            storage = self.on_device.storage
            if storage.version == 2**32 - 1:
                raise TableFullError(
                    f"table {storage.settings.name!r} used all versions; export and reload it"
                )
            storage.version += 1
            return storage.version - 1

    def memory_usage(self, keys: int | None) -> tuple[int, int, int, int, int, int]:
        """Count index, rows, metadata, scratch, log, admission; or predict them for `keys`.

        Log and admission are in the host's memory. The scratch on the device is the pool's, none is
        kept between calls.
        """
        with self.lock:
            table, admission = self.on_device, self.on_device.admission
            fixed = 0 if admission is None else admission.fixed_bytes()
            if keys is not None:
                return (*table.storage.memory_bytes_for(keys), 0, 0, fixed)
            scratch = 0 if admission is None else admission.scratch_bytes()
            used = 0 if admission is None else admission.memory_bytes()
            return (*table.storage.memory_bytes(), scratch, table.log.memory_bytes, used)

    def restrict(self, num_reserved: int, trigger: int, score: int) -> int:
        """Keep the best rows; give how many left."""
        with self.lock:
            return self.on_device.restrict(num_reserved, trigger, score)

    def expire_before(self, step: int) -> int:
        """Remove the rows last updated before `step`; give how many."""
        with self.lock:
            return self.on_device.expire_before(step)

    def expire_older_than(self, steps: int) -> int:
        """Remove the rows last updated more than `steps` before the newest; give how many."""
        with self.lock:
            return self.on_device.expire_older_than(steps)

    def decay_frequency(self, factor: float) -> None:
        """Multiply all frequencies and candidates' counts."""
        with self.lock:
            self.on_device.decay_frequency(factor)

    def shrink(self) -> None:
        """Give back all memory that the present keys do not need."""
        with self.lock:
            self.on_device.shrink()

    def changed_since(self, since: int) -> tuple[Integers, Integers]:
        """Name the keys written, and the keys removed, after version `since`."""
        with self.lock:
            return self.on_device.changed_since(since)

    def stats(self) -> tuple[list[int], list[int]]:
        """Count as `_cpu.Table.stats`."""
        with self.lock:
            return self.on_device.stats()

    def policy_state(self) -> tuple[int, int, Integers, Counts, Cells]:
        """Give the newest step, and admission's step, candidates, counts, and cells."""
        with self.lock:
            table = self.on_device
            if table.admission is None:
                nothing = np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint8)
                return table.newest_step, 0, *nothing
            step, keys, counts, cells = table.admission.state()
            return table.newest_step, step, keys.view(np.int64), counts, cells

    def set_policy_state(
        self, newest_step: int, step: int, keys: Integers, counts: Counts, cells: Cells
    ) -> None:
        """Take over what `policy_state` gave; keys of the table are no candidates."""
        with self.lock:
            table = self.on_device
            if table.admission is not None:
                rows = table.find(self._launcher.upload(keys), keys.shape[0])
                present = np.ascontiguousarray(keys[self._launcher.download(rows) >= 0])
                try:
                    table.admission.set_state(step, keys, counts, cells)
                except MemoryError as reason:
                    raise TableFullError(
                        f"table {table.storage.settings.name!r} is out of memory: the system "
                        f"refused room for {keys.shape[0]} candidates"
                    ) from reason
                table.admission.forget(present)
            table.newest_step = max(table.newest_step, newest_step)
