"""A table's rows in device memory: slabs, live bits and free list; they never move but in `shrink`."""

import numpy as np

from emberline.kernels.gpu.launcher import DeviceArray, Launcher

__all__ = ["DeviceRows"]

Slabs = list[DeviceArray | None]  # None: without a live row, its memory given back


class DeviceRows:
    """The part of `DeviceStorage` that holds rows.

    Each slab is an allocation of its own, so that a single one can be given back: to CuPy's pool,
    which other arrays of the process use; `cupy.get_default_memory_pool().free_all_blocks()` hands
    it on to the device.
    """

    launcher: Launcher
    view: DeviceArray
    slab_shift: int  # 2^slab_shift rows a slab
    slab_bytes: int
    metadata_bytes: int  # of a row

    def forget_rows(self) -> None:
        """Become empty and give all memory back."""
        self.size = 0
        self.row_limit = 0  # one past the highest row number ever used
        self.free_count = 0
        self._slabs: Slabs = []
        self._held = 0  # slabs with their memory
        self._pointers = self._live = self._free = None
        self._live_words = self._free_capacity = 0
        self._set_rows()

    @property
    def slab_count(self) -> int:
        """Slabs, those given back too."""
        return len(self._slabs)

    @property
    def live_words(self) -> int:
        """Words of the live bits."""
        return self._live_words

    def is_given_back(self, slab: int) -> bool:
        """Tell whether a slab has no memory now."""
        return self._slabs[slab] is None

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

    def live_bits(self) -> DeviceArray:
        """Give the live bits, uint64 words."""
        return self.launcher.zeros(0, np.uint64) if self._live is None else self._live

    def free_rows(self) -> DeviceArray:
        """Give the free list with its spare room, for `check`."""
        return self.launcher.zeros(0, np.uint32) if self._free is None else self._free

    def ensure_slabs(self, new_rows: int, evicted: int) -> None:
        """Make room for the next `new_rows` rows; `evicted` ones will be free then.

        Raises:
            MemoryError: with nothing visibly changed.
        """
        tail = max(0, new_rows - self.free_count - evicted)
        needed = self.slabs_for(self.row_limit + tail)
        if needed > self.slab_count:
            # At least an eighth of what there is: the arrays below are copied few times.
            add = max(needed - self.slab_count, self.slab_count // 8)
            slabs = [*self._slabs, *(self._new_slab() for _ in range(add))]
            words = self._words_of(len(slabs))
            live = self.launcher.zeros(words, np.uint64)
            pointers = self._upload_pointers(slabs)
            if self._live is not None:
                self.launcher.copy(live, self._live)
            self._live, self._live_words = live, words
            self._hold(slabs, pointers)
        if self._held < self.slab_count:
            self._claim(new_rows - evicted)

    def give_back_empty_slabs(self) -> None:
        """Give back the memory of the slabs without a live row.

        Raises:
            MemoryError: no room for the new table of pointers; all stays where it is.
        """
        used = self.launcher.zeros(max(1, self.slab_count), np.uint32)
        self.launcher.launch(
            "emberline_mark_slabs", self.row_limit, self.view, self.row_limit, used
        )
        is_used = self.launcher.download(used)
        begun = self.slabs_for(self.row_limit)  # those beyond are room for growth
        kept: Slabs = [
            slab if at >= begun or is_used[at] else None for at, slab in enumerate(self._slabs)
        ]
        if all(slab is kept[at] for at, slab in enumerate(self._slabs)):
            return
        self._hold(kept, self._upload_pointers(kept))

    def slabs_for(self, rows: int) -> int:
        """Count the slabs that rows 0 .. rows - 1 are in."""
        return -(-rows >> self.slab_shift)

    def begin_shrink(self) -> tuple[Slabs, DeviceArray, DeviceArray]:
        """Allocate what is needed once the rows 0 .. size - 1 are all there are.

        Returns:
            What `finish_shrink` takes, after the rows have moved.

        Raises:
            MemoryError: with nothing visibly changed.
        """
        needed = self.slabs_for(self.size)
        slabs = [  # rows may move into any of the slabs that stay
            self._new_slab() if slab is None and at < needed else slab
            for at, slab in enumerate(self._slabs)
        ]
        pointers, kept_pointers = (
            self._upload_pointers(slabs),
            self._upload_pointers(slabs[:needed]),
        )
        live = self.launcher.zeros(self._words_of(needed), np.uint64)
        self._hold(slabs, pointers)
        return slabs[:needed], kept_pointers, live

    def finish_shrink(self, slabs: Slabs, pointers: DeviceArray, live: DeviceArray) -> None:
        """Keep what `begin_shrink` gave; the rows have moved."""
        words = self._words_of(len(slabs))
        self.launcher.copy(live, self.live_bits()[:words])
        self._live, self._live_words = live, words
        self.row_limit = self.size
        self._free, self.free_count, self._free_capacity = None, 0, 0
        self._hold(slabs, pointers)

    def _claim(self, new_rows: int) -> None:
        """Allocate the slabs of the next `new_rows` rows that were given back.

        All rows of such a slab are free or were never used, and the free ones are used before
        those behind them: so it is enough to look at the free list.
        """
        reused = min(new_rows, self.free_count)
        if reused <= 0:
            return
        free = self.free_rows()[self.free_count - reused : self.free_count]
        needed = set(np.unique(self.launcher.download(free) >> self.slab_shift).tolist())
        slabs = [
            self._new_slab() if slab is None and at in needed else slab
            for at, slab in enumerate(self._slabs)
        ]
        self._hold(slabs, self._upload_pointers(slabs))

    def _hold(self, slabs: Slabs, pointers: DeviceArray) -> None:
        self._slabs, self._pointers = slabs, pointers
        self._held = sum(slab is not None for slab in slabs)
        self._set_rows()

    def _new_slab(self) -> DeviceArray:
        return self.launcher.empty(self.slab_bytes, np.uint8)

    def _words_of(self, slabs: int) -> int:
        return -(-(slabs << self.slab_shift) // 64)

    def _upload_pointers(self, slabs: Slabs) -> DeviceArray:
        addresses = [0 if slab is None else self.launcher.address(slab) for slab in slabs]
        return self.launcher.upload(np.array(addresses, np.uint64))

    def _row_bytes(self, slabs: int, held: int, free_capacity: int) -> tuple[int, int]:
        """Count rows and metadata of so many slabs, of which `held` have their memory."""
        metadata = (held << self.slab_shift) * self.metadata_bytes
        rows = held * self.slab_bytes - metadata
        return rows, metadata + 8 * self._words_of(slabs) + 4 * free_capacity + 8 * slabs

    def _set_rows(self) -> None:
        self.launcher.launch(
            "emberline_set_rows", 1, self.view, self._pointers, self._live, self._free
        )
