"""A table's device memory: index, row slabs, live bits and free list, and how they grow.

The counterpart of cpu/table.cpp, with the same sizes and limits; all that touches an element is a
kernel. Methods that can fail do so before they change anything that a caller can see.
"""

from typing import Any

import numpy as np

from emberline.kernels.errors import TableCorruptError, TableFullError
from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.initializers import Initializer
from emberline.kernels.optimizers import Optimizer
from emberline.kernels.table_settings import TableSettings

__all__ = ["BAD", "FAILED", "MISSING", "NOTHING_BAD", "TOMBSTONES", "TOTAL", "DeviceStorage"]

# Words of the counters, enum Counter in device/view.cuh.
MISSING, TOTAL, TOMBSTONES, FAILED, BAD, _VALID = range(6)
NOTHING_BAD = 2**64 - 1

_VIEW_BYTES = 512
_SLAB_BYTES = 4 << 20


def _packed(first: int, *rest: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Pack an enum and floats as the kernels' structures have them: 4 bytes each, in order."""
    return np.concatenate(
        [np.array([first], np.int32).view(np.float32), np.array(rest, np.float32)]
    )


def _optimizer_words(optimizer: Optimizer) -> np.ndarray[Any, np.dtype[np.float32]]:
    return _packed(optimizer.kernel_code, *optimizer.kernel_settings())


def _initializer_words(initializer: Initializer) -> np.ndarray[Any, np.dtype[np.float32]]:
    return _packed(initializer.kernel_code, initializer.kernel_offset, initializer.kernel_scale)


class DeviceStorage:
    """Memory and counts of one table.

    Args:
        settings: the table's.
        launcher: of the device.
        hash_bits: below 64 only in tests: keeps that many bits, so that keys collide.

    Raises:
        MemoryError: the device has no room for an empty table.
    """

    def __init__(self, settings: TableSettings, launcher: Launcher, hash_bits: int) -> None:
        self.settings = settings
        self.launcher = launcher
        self.view = launcher.zeros(_VIEW_BYTES, np.uint8)
        optimizer = _optimizer_words(settings.optimizer)
        layout = launcher.zeros(7, np.int64)
        launcher.launch(
            "emberline_make_view",
            1,
            self.view,
            layout,
            int(settings.dim),
            _SLAB_BYTES,
            2**hash_bits - 1,
            int(settings.seed),
            launcher.upload(optimizer),
            launcher.upload(_initializer_words(settings.initializer)),
        )
        words = [int(word) for word in launcher.download(layout)]
        self._slab_shift, self._slab_bytes, self.state_floats = words[:3]
        self._chunk_bytes, self._used_per_chunk, self._metadata_bytes = words[3:6]
        assert words[6] == optimizer.nbytes, "the optimizer's fields are not those of the kernels"
        self.version = 1
        self.clear()

    def clear(self) -> None:
        """Forget all rows and give their memory back."""
        index = self.launcher.zeros(self._chunk_bytes, np.uint8)  # the one step that can fail
        self.size = 0
        self.row_limit = 0  # one past the highest row number ever used
        self.free_count = 0
        self.tombstones = 0
        self.slab_count = 0
        self._extents: list[DeviceArray] = []
        self._slabs = self._live = self._free = None
        self._live_words = self._free_capacity = 0
        self._set_index(index, 1)
        self._set_rows()

    @property
    def dim(self) -> int:
        """Weights per row."""
        return int(self.settings.dim)

    def counters(self) -> DeviceArray:
        """Give counters for one step, at their start."""
        start = np.zeros(_VALID + 1, np.uint64)
        start[BAD] = NOTHING_BAD
        return self.launcher.upload(start)

    def settle(self, counters: DeviceArray, *, sign: int) -> None:
        """Take over what a step that changed the index counted; waits for it.

        Args:
            counters: the step's.
            sign: 1 where the step made tombstones, -1 where it used them up.

        Raises:
            TableCorruptError: a key found no slot, which a load below 0.75 rules out.
        """
        words = self.launcher.download(counters)
        if words[FAILED] != 0:
            raise TableCorruptError(
                f"table {self.settings.name!r}: {words[FAILED]} keys found no slot of the index"
            )
        self.tombstones += sign * int(words[TOMBSTONES])

    def ensure_room(self, new_keys: int) -> None:
        """Make room for absent keys.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, with nothing visibly changed.
        """
        name, limit = self.settings.name, int(self.settings.max_rows)
        if new_keys > limit - self.size:
            raise TableFullError(
                f"table {name!r} is full: it holds {self.size} rows, {new_keys} more were asked "
                f"for and max_rows is {limit}; erase keys or raise max_rows"
            )
        try:
            self._ensure_slabs(self.row_limit + max(0, new_keys - self.free_count))
            needed = self.size + new_keys
            if needed + self.tombstones > self._used_per_chunk * self.chunk_count:
                chunk_count = self.chunk_count
                while self._used_per_chunk * chunk_count < needed:
                    chunk_count *= 2
                # Rebuilding at 90 % of the limit would soon be repeated as tombstones come back.
                if 10 * needed > 9 * self._used_per_chunk * chunk_count:
                    chunk_count *= 2
                self._rebuild_index(chunk_count)
        except MemoryError as reason:
            raise TableFullError(
                f"table {name!r} is out of memory: it holds {self.size} rows and the device "
                f"refused memory for {new_keys} more; erase keys or use a smaller dim"
            ) from reason

    def ensure_free(self, rows: int) -> None:
        """Make room for that many more rows in the free list.

        Raises:
            MemoryError: with nothing changed.
        """
        needed = self.free_count + rows
        if needed <= self._free_capacity:
            return
        capacity = max(needed, 2 * self._free_capacity, 64)
        grown = self.launcher.zeros(capacity, np.uint32)
        if self._free is not None:
            self.launcher.copy(grown, self._free)
        self._free, self._free_capacity = grown, capacity
        self._set_rows()

    def memory_bytes(self) -> tuple[int, int, int]:
        """Count index, rows and metadata."""
        metadata = (self.slab_count << self._slab_shift) * self._metadata_bytes
        rows = self.slab_count * self._slab_bytes - metadata
        metadata += 8 * self._live_words + 4 * self._free_capacity + 8 * self.slab_count
        return self.chunk_count * self._chunk_bytes, rows, metadata + _VIEW_BYTES

    def index_chunks(self) -> DeviceArray:
        """Give the chunks' bytes, for `check`."""
        return self._index

    def live_bits(self) -> DeviceArray:
        """Give the live bits, uint64 words, for `check`."""
        return self.launcher.zeros(0, np.uint64) if self._live is None else self._live

    def free_rows(self) -> DeviceArray:
        """Give the free list with its spare room, for `check`."""
        return self.launcher.zeros(0, np.uint32) if self._free is None else self._free

    def _ensure_slabs(self, row_count: int) -> None:
        needed = -(-row_count // (1 << self._slab_shift))
        if needed <= self.slab_count:
            return
        # Extents of at least an eighth of what there is: few allocations, and all of one pool.
        add = max(needed - self.slab_count, self.slab_count // 8)
        count = self.slab_count + add
        words = -(-(count << self._slab_shift) // 64)
        extent = self.launcher.empty(add * self._slab_bytes, np.uint8)
        live = self.launcher.zeros(words, np.uint64)
        extents = [*self._extents, extent]
        addresses = [
            self.launcher.address(e) + i * self._slab_bytes
            for e in extents
            for i in range(e.shape[0] // self._slab_bytes)
        ]
        slabs = self.launcher.upload(np.array(addresses, np.uint64))
        if self._live is not None:
            self.launcher.copy(live, self._live)
        self._extents, self._slabs, self._live = extents, slabs, live
        self.slab_count, self._live_words = count, words
        self._set_rows()

    def _rebuild_index(self, chunk_count: int) -> None:
        fresh = self.launcher.zeros(chunk_count * self._chunk_bytes, np.uint8)
        counters = self.counters()
        self._set_index(fresh, chunk_count)
        self.launcher.launch(
            "emberline_rebuild", self.row_limit, self.view, self.row_limit, counters
        )
        self.tombstones = 0
        self.settle(counters, sign=0)

    def _set_index(self, index: DeviceArray, chunk_count: int) -> None:
        self._index, self.chunk_count = index, chunk_count
        self.launcher.launch("emberline_set_index", 1, self.view, index, chunk_count)

    def _set_rows(self) -> None:
        self.launcher.launch(
            "emberline_set_rows", 1, self.view, self._slabs, self._live, self._free
        )
