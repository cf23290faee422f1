"""A device table behind the methods of the CPU extension: NumPy arrays in and out."""

import threading

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.gpu.check import first_broken_invariant
from emberline.kernels.gpu.device_calls import DeviceCalls
from emberline.kernels.gpu.device_table import DeviceTable
from emberline.kernels.gpu.host_policies import HostPolicies
from emberline.kernels.gpu.launcher import Launcher
from emberline.kernels.table_settings import TableSettings

__all__ = ["HostTable"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Counts = NDArray[np.uint32]


class HostTable(HostPolicies):
    """What `HashTable` calls when its rows are on a device; see `_cpu.Table` for the methods.

    Arrays are copied to the device and back; `DeviceTable` takes device arrays as they are. One
    call runs at a time.

    Args:
        settings: the table's.
        launcher: of the device.
        hash_bits: below 64 only in tests.

    Raises:
        MemoryError: the device has no room for an empty table.
        TableFullError: no memory for the sketch of an admission.
    """

    def __init__(self, settings: TableSettings, launcher: Launcher, *, hash_bits: int = 64) -> None:
        self.on_device = DeviceTable(settings, launcher, hash_bits=hash_bits)
        self._launcher = launcher
        self.lock = threading.Lock()

    def device_calls(self) -> DeviceCalls:
        """Give the same table for device arrays."""
        return DeviceCalls(self.on_device, self._launcher, self.lock)

    def size(self) -> int:
        """Count the keys."""
        return self.on_device.storage.size

    def row_limit(self) -> int:
        """Give one past the highest row number ever used."""
        return self.on_device.storage.row_limit

    def reserve(self, keys: int) -> None:
        """Make room for `keys` in all."""
        with self.lock:
            storage = self.on_device.storage
            if keys > storage.size:
                storage.ensure_room(keys - storage.size)

    def clear(self) -> None:
        """Remove all keys and give the memory back."""
        with self.lock:
            self.on_device.clear()

    def check(self) -> str:
        """Name the first broken invariant, or give an empty string."""
        with self.lock:
            return first_broken_invariant(self.on_device)

    def find(self, keys: Integers, rows: Integers) -> None:
        """Write rows, -1 where absent."""
        with self.lock:
            found = self.on_device.find(self._launcher.upload(keys), keys.shape[0])
            rows[:] = self._launcher.download(found)

    def find_or_insert(self, keys: Integers, rows: Integers) -> None:
        """Write rows; absent keys are inserted."""
        with self.lock:
            found = self.on_device.find_or_insert(self._launcher.upload(keys), keys.shape[0])
            rows[:] = self._launcher.download(found)

    def erase(self, keys: Integers) -> int:
        """Remove keys; give how many there were."""
        with self.lock:
            return self.on_device.erase(self._launcher.upload(keys), keys.shape[0])

    def lookup(self, keys: Integers, initial: bool, out: Floats) -> None:
        """Write the weights of keys; never inserts."""
        with self.lock:
            count, dim = out.shape
            result = self._launcher.empty(count * dim, np.float32)
            self.on_device.lookup(self._launcher.upload(keys), count, initial, result, dim)
            out[:] = self._launcher.download(result).reshape(count, dim)

    def gather(self, rows: Integers, default: Floats | None, out: Floats) -> None:
        """Write the weights of rows."""
        with self.lock:
            count, dim = out.shape
            result = self._launcher.empty(count * dim, np.float32)
            upload = self._launcher.upload
            missing = None if default is None else upload(default)
            self.on_device.gather(upload(rows), count, missing, result, dim)
            out[:] = self._launcher.download(result).reshape(count, dim)

    def gather_pooled(
        self,
        rows: Integers,
        offsets: Integers,
        combiner: int,
        max_length: int | None,
        weights: Floats | None,
        default: Floats | None,
        out: Floats,
    ) -> None:
        """Write each segment's combined weights."""
        with self.lock:
            upload = self._launcher.upload
            segments, dim = out.shape
            result = self._launcher.empty(segments * dim, np.float32)
            self.on_device.gather_pooled(
                upload(rows),
                rows.shape[0],
                upload(offsets),
                segments,
                combiner,
                max_length,
                None if weights is None else upload(weights),
                None if default is None else upload(default),
                result,
                dim,
            )
            out[:] = self._launcher.download(result).reshape(segments, dim)

    def apply_gradients(
        self,
        rows: Integers,
        gradients: Floats,
        source: Integers | None,
        scale: Floats | None,
        step: int,
        learning_rate: float,
    ) -> None:
        """Update rows from their gradients."""
        with self.lock:
            upload = self._launcher.upload
            count, dim = gradients.shape
            self.on_device.apply_gradients(
                upload(rows),
                rows.shape[0],
                upload(np.ascontiguousarray(gradients)),
                count,
                dim,
                None if source is None else upload(source),
                None if scale is None else upload(scale),
                step,
                learning_rate,
            )

    def upsert(
        self,
        keys: Integers,
        values: Floats,
        states: Floats | None,
        frequency: Counts | None,
        last_step: Counts | None,
    ) -> None:
        """Insert absent keys and write rows; the last of equal keys wins."""
        with self.lock:
            upload = self._launcher.upload
            self.on_device.upsert(
                upload(keys),
                keys.shape[0],
                upload(np.ascontiguousarray(values)),
                values.shape[1],
                None if states is None else upload(np.ascontiguousarray(states)),
                None if frequency is None else upload(frequency),
                None if last_step is None else upload(last_step),
                0 if last_step is None else int(last_step.max(initial=0)),
            )

    def add(self, keys: Integers, values: Floats, initial: bool) -> None:
        """Insert absent keys and add to rows, in order of position."""
        with self.lock:
            upload = self._launcher.upload
            matrix = upload(np.ascontiguousarray(values))
            self.on_device.add(upload(keys), keys.shape[0], matrix, values.shape[1], initial)

    def export_keys(self, start: int, stop: int, keys: Integers) -> int:
        """Write the keys of [start, stop), in row order; give how many."""
        with self.lock:
            result = self._launcher.empty(keys.shape[0], np.int64)
            count = self.on_device.export(start, stop, 0, result, None, None, None, None)
            keys[:count] = self._launcher.download(result[:count])
            return count

    def export_rows(
        self,
        start: int,
        stop: int,
        since: int,
        keys: Integers,
        values: Floats,
        states: Floats,
        frequency: Counts,
        last_step: Counts,
    ) -> int:
        """Write the rows of [start, stop) that are newer than `since`; give how many."""
        with self.lock:
            outputs: list[NDArray[np.generic]] = [keys, values, states, frequency, last_step]
            results = [self._launcher.empty(out.size, out.dtype) for out in outputs]
            count = self.on_device.export(start, stop, since, *results)
            for out, result in zip(outputs, results, strict=True):
                columns = out.size // out.shape[0] if out.shape[0] else 0
                part = self._launcher.download(result[: count * columns])
                out[:count] = part.reshape(out[:count].shape)
            return count
