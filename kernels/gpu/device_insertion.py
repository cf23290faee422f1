"""Keys come into a device table and are erased from it: the part of `DeviceTable`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.errors import ArrayShapeError, TableFullError
from emberline.kernels.gpu.device_admission import refuse
from emberline.kernels.gpu.device_policies import DevicePolicies
from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.primitives import Part, distinct, exclusive_sum
from emberline.kernels.gpu.storage import MISSING, TOTAL
from emberline.kernels.gpu.victims import Victims, first_to_leave
from emberline.kernels.table_settings import EVICTION_POLICIES

__all__ = ["DeviceInsertion", "Insertion", "check_count"]

_MOST_KEYS = 2**31 - 1  # of one call: positions are 32 bits, their scratch table twice as large


@dataclass(frozen=True, kw_only=True)
class Insertion:
    """What `prepare_insert` decided and `insert` carries out; what it needs is allocated.

    Attributes:
        keys: int64 [count], the batch.
        count: its positions.
        rows: int64 [count], those of present keys; -1.
        new: keys that come in.
        chosen: uint32 [count], the position that stands for a new key; 2^32 - 1 elsewhere.
        rank: uint32 [count], the number of a new key at that position.
        changes: the counters of the insertion.
        victims: rows that leave before.
        refused: positions that admission refused; None: it was not asked.
        unasked: int64, keys that come in without being asked about; None: admission was asked.
    """

    keys: DeviceArray
    count: int
    rows: DeviceArray
    new: int = 0
    chosen: DeviceArray | None = None
    rank: DeviceArray | None = None
    changes: DeviceArray | None = None
    victims: Victims | None = None
    refused: int | None = None
    unasked: NDArray[np.int64] | None = None


class DeviceInsertion(DevicePolicies):
    """The part of `DeviceTable` where keys get rows and lose them.

    An insertion is two steps, so that a group of tables can make sure of all of them before it
    changes one.
    """

    def find_or_insert(self, keys: DeviceArray, count: int) -> DeviceArray:
        """Give int64 [count] rows; absent keys get new ones, numbered by first occurrence.

        Keys that admission refuses get -1.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        return self.insert(self.prepare_insert(keys, count))

    def prepare_insert(
        self, keys: DeviceArray, count: int, *, admit_all: bool = False
    ) -> Insertion:
        """Do all of an insertion that can fail, with nothing visibly changed.

        `insert` must follow before anything else is done with the table.

        Args:
            keys: int64 [count].
            count: how many.
            admit_all: do not ask admission.

        Raises:
            TableFullError: beyond `max_rows` or out of memory.
        """
        storage, launcher = self.storage, self._launcher
        check_count(count)
        counters = storage.counters()
        rows = self._find(keys, count, counters)
        if count == 0 or launcher.download(counters)[MISSING] == 0:
            return Insertion(keys=keys, count=count, rows=rows)
        refused: int | None = None
        unasked: NDArray[np.int64] | None = None
        try:
            chosen, flags = distinct(
                launcher, storage.view, keys, rows, count, Part.MISSING, counters
            )
            rank = exclusive_sum(launcher, flags, count, counters)
            changes = storage.counters()
            new = int(launcher.download(counters)[TOTAL])
            storage.settle(counters, sign=0)
            if self.admission is not None:
                absent = launcher.empty(new, np.int64)
                self._list_keys(keys, None, flags, rank, count, absent, None)
                unasked = launcher.download(absent)
            if self.admission is not None and unasked is not None and not admit_all:
                refused = refuse(storage, self.admission, unasked, chosen, flags, rank, count)
                unasked = None
            if refused:
                rank = exclusive_sum(launcher, flags, count, counters)
                new = int(launcher.download(counters)[TOTAL])
        except TableFullError:
            raise
        except MemoryError as reason:
            raise self._no_scratch(count) from reason
        return Insertion(
            keys=keys,
            count=count,
            rows=rows,
            new=new,
            chosen=chosen,
            rank=rank,
            changes=changes,
            victims=self._make_room(new, rows, count),
            refused=refused,
            unasked=unasked,
        )

    def insert(self, insertion: Insertion, *, initial: bool = True) -> DeviceArray:
        """Carry out what `prepare_insert` decided; give int64 [count] rows.

        Args:
            insertion: what it gave.
            initial: new rows have their initial weights, else zeros.
        """
        storage, launcher = self.storage, self._launcher
        new = insertion.new
        if insertion.victims is not None:
            self.remove(insertion.victims, reversed_=True)
            self.evicted += insertion.victims.count
        if self.admission is not None and insertion.refused is not None:
            self.admission.commit()
            self.rejected += insertion.refused
        elif self.admission is not None and insertion.unasked is not None:
            self.admission.forget(insertion.unasked)
        if new == 0:
            return insertion.rows
        free_count, row_limit = storage.free_count, storage.row_limit
        launcher.launch(
            "emberline_insert",
            insertion.count,
            storage.view,
            insertion.keys,
            insertion.chosen,
            insertion.rank,
            insertion.count,
            free_count,
            row_limit,
            storage.version,
            insertion.rows,
            insertion.changes,
        )
        work = new * (storage.dim + storage.state_floats)
        launcher.launch(
            "emberline_initialize", work, storage.view, new, free_count, row_limit, int(initial)
        )
        reused = min(new, free_count)
        storage.free_count -= reused
        storage.row_limit += new - reused
        storage.size += new
        storage.settle(insertion.changes, sign=-1)
        return insertion.rows

    def erase(self, keys: DeviceArray, count: int) -> int:
        """Remove keys; give how many there were.

        Raises:
            MemoryError: no room for the free list or the log, before any change.
        """
        storage, launcher = self.storage, self._launcher
        check_count(count)
        if count == 0 or storage.size == 0:
            return 0
        self.reserve_removals(min(count, storage.size))
        counters = storage.counters()
        rows = self._find(keys, count, counters)
        _, flags = distinct(launcher, storage.view, keys, rows, count, Part.PRESENT, counters)
        rank = exclusive_sum(launcher, flags, count, counters)
        erased = int(launcher.download(counters)[TOTAL])
        storage.settle(counters, sign=0)
        if erased == 0:
            return 0
        listed_keys, listed = launcher.empty(erased, np.int64), launcher.empty(erased, np.uint32)
        self._list_keys(keys, rows, flags, rank, count, listed_keys, listed)
        victims = Victims(
            rows=listed,
            keys=launcher.download(listed_keys),
            count=erased,
            changes=storage.counters(),
        )
        self.remove(victims, reversed_=False)
        self.erased += erased
        return erased

    def _make_room(self, new_keys: int, rows: DeviceArray, count: int) -> Victims | None:
        """Make room for the new keys of a batch; at `max_rows` choose the rows that leave for them.

        Args:
            new_keys: how many.
            rows: int64 [count], those of the batch's present keys, which stay.
            count: the batch's positions.

        Raises:
            TableFullError: with nothing visibly changed.
        """
        storage, launcher, settings = self.storage, self._launcher, self.storage.settings
        excess = storage.size + new_keys - int(settings.max_rows)
        if excess <= 0 or settings.on_full != "evict":
            storage.ensure_room(new_keys)
            return None
        no_memory = (
            f"table {settings.name!r} is out of memory: the device refused the scratch memory that "
            f"choosing {excess} keys to evict needs; restrict the table or use a smaller max_rows"
        )
        counters = storage.counters()
        try:
            batch = launcher.zeros(max(1, storage.live_words), np.uint64)
        except MemoryError as reason:
            raise TableFullError(no_memory) from reason
        launcher.launch("emberline_mark_batch", count, rows, count, batch, counters)
        distinct_keys = int(launcher.download(counters)[TOTAL]) + new_keys
        if distinct_keys > settings.max_rows:
            raise TableFullError(
                f"table {settings.name!r} is full: one batch has {distinct_keys} distinct keys and "
                f"max_rows is {settings.max_rows}; use smaller batches or raise max_rows"
            )
        try:
            policy = EVICTION_POLICIES[settings.eviction_policy]
            victims = first_to_leave(storage, policy, excess, batch)
            self.reserve_removals(excess)
        except MemoryError as reason:
            raise TableFullError(no_memory) from reason
        storage.ensure_room(new_keys, excess)
        return victims

    def _list_keys(
        self,
        keys: DeviceArray,
        rows: DeviceArray | None,
        flags: DeviceArray,
        rank: DeviceArray,
        count: int,
        listed_keys: DeviceArray,
        listed_rows: DeviceArray | None,
    ) -> None:
        self._launcher.launch(
            "emberline_list_keys", count, keys, rows, flags, rank, count, listed_keys, listed_rows
        )

    def _no_scratch(self, count: int) -> TableFullError:
        return TableFullError(
            f"table {self.storage.settings.name!r} is out of memory: the device refused the "
            f"scratch memory for a batch of {count} keys; use smaller batches"
        )


def check_count(count: int) -> None:
    """Refuse more keys than a call takes.

    Raises:
        ArrayShapeError: naming the number.
    """
    if count > _MOST_KEYS:
        raise ArrayShapeError(f"keys has {count} entries; a call on a GPU takes {_MOST_KEYS}")
