"""A table's device memory: the index beside the rows, and how both grow.

The counterpart of cpu/table.cpp, with the same sizes and limits; all that touches an element is a
kernel. Methods that can fail do so before they change anything that a caller can see.
"""

from typing import Any

import numpy as np

from emberline.kernels.errors import TableCorruptError, TableFullError
from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.gpu.rows import DeviceRows
from emberline.kernels.initializers import Initializer
from emberline.kernels.optimizers import Optimizer
from emberline.kernels.table_settings import ROW_TYPES, TableSettings

__all__ = [
    "BAD",
    "FAILED",
    "MISSING",
    "NOTHING_BAD",
    "SLOTS",
    "TOMBSTONES",
    "TOTAL",
    "VALID",
    "DeviceStorage",
]

# Words of the counters, enum Counter in device/view.cuh.
MISSING, TOTAL, TOMBSTONES, FAILED, BAD, VALID = range(6)
NOTHING_BAD = 2**64 - 1
SLOTS = 8  # of a chunk, kSlots in index.cuh

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


class DeviceStorage(DeviceRows):
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
            ROW_TYPES[settings.row_type],
            _SLAB_BYTES,
            2**hash_bits - 1,
            int(settings.seed),
            launcher.upload(optimizer),
            launcher.upload(_initializer_words(settings.initializer)),
        )
        words = [int(word) for word in launcher.download(layout)]
        self.slab_shift, self.slab_bytes, self.state_floats = words[:3]
        self._chunk_bytes, self._used_per_chunk, self.metadata_bytes = words[3:6]
        assert words[6] == optimizer.nbytes, "the optimizer's fields are not those of the kernels"
        self.version = 1
        self.clear()

    def clear(self) -> None:
        """Forget all rows and give their memory back."""
        index = self.launcher.zeros(self._chunk_bytes, np.uint8)  # the one step that can fail
        self.tombstones = 0
        self._set_index(index, 1)
        self.forget_rows()

    @property
    def dim(self) -> int:
        """Weights per row."""
        return int(self.settings.dim)

    def counters(self) -> DeviceArray:
        """Give counters for one step, at their start."""
        start = np.zeros(VALID + 1, np.uint64)
        start[BAD] = NOTHING_BAD
        return self.launcher.upload(start)

    def settle(self, counters: DeviceArray, *, sign: int) -> None:
        """Take over what a step that changed the index counted; waits for it.

        Args:
            counters: the step's.
            sign: 1 where the step made tombstones, -1 where it used them up.

        Raises:
            TableCorruptError: a key found no slot, which a load below 0.75 rules out, or lost its
                own.
        """
        words = self.launcher.download(counters)
        if words[FAILED] != 0:
            raise TableCorruptError(
                f"table {self.settings.name!r}: {words[FAILED]} keys found no slot of the index"
            )
        self.tombstones += sign * int(words[TOMBSTONES])

    def ensure_room(self, new_keys: int, evicted: int = 0) -> None:
        """Make room for absent keys.

        Args:
            new_keys: how many.
            evicted: keys that will be gone by the time they come; their slots may be tombstones.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, with nothing visibly changed.
        """
        name, limit = self.settings.name, int(self.settings.max_rows)
        if new_keys > limit - self.size + evicted:
            raise TableFullError(
                f"table {name!r} is full: it holds {self.size} rows, {new_keys} more were asked "
                f"for and max_rows is {limit}; erase keys or raise max_rows"
            )
        try:
            self.ensure_slabs(new_keys, evicted)
            needed = self.size + new_keys
            if needed + self.tombstones > self._used_per_chunk * self.chunk_count:
                self.rebuild_index(self._rebuilt_chunks(self.chunk_count, needed))
        except MemoryError as reason:
            raise TableFullError(
                f"table {name!r} is out of memory: it holds {self.size} rows and the device "
                f"refused memory for {new_keys} more; erase keys or use a smaller dim"
            ) from reason

    def memory_bytes(self) -> tuple[int, int, int]:
        """Count index, rows and metadata."""
        rows, metadata = self._row_bytes(self.slab_count, self._held, self._free_capacity)
        return self.chunk_count * self._chunk_bytes, rows, metadata + _VIEW_BYTES

    def memory_bytes_for(self, keys: int) -> tuple[int, int, int]:
        """Predict `memory_bytes` of a new table after `ensure_room(keys)`."""
        small = keys <= self._used_per_chunk
        chunks = 1 if small else self._rebuilt_chunks(1, keys)
        slabs = self.slabs_for(keys)
        rows, metadata = self._row_bytes(slabs, slabs, 0)
        return chunks * self._chunk_bytes, rows, metadata + _VIEW_BYTES

    def index_chunks(self) -> DeviceArray:
        """Give the chunks' bytes, for `check`."""
        return self._index

    def chunks_for(self, keys: int) -> int:
        """Count the chunks that so many keys need at least."""
        chunks = 1
        while self._used_per_chunk * chunks < keys:
            chunks *= 2
        return chunks

    def rebuild_index(self, chunk_count: int) -> None:
        """Put all live keys into a new index; rows stay where they are.

        Raises:
            MemoryError: with nothing changed.
        """
        fresh = self.launcher.zeros(chunk_count * self._chunk_bytes, np.uint8)
        counters = self.counters()
        self._set_index(fresh, chunk_count)
        self.launcher.launch(
            "emberline_rebuild", self.row_limit, self.view, self.row_limit, counters
        )
        self.tombstones = 0
        self.settle(counters, sign=0)

    def _rebuilt_chunks(self, present: int, keys: int) -> int:
        chunks = max(present, self.chunks_for(keys))
        # At 90 % of the limit it would soon be rebuilt again, as tombstones come back.
        return 2 * chunks if 10 * keys > 9 * self._used_per_chunk * chunks else chunks

    def _set_index(self, index: DeviceArray, chunk_count: int) -> None:
        self._index, self.chunk_count = index, chunk_count
        self.launcher.launch("emberline_set_index", 1, self.view, index, chunk_count)
