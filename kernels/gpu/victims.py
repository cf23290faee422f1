"""Which rows leave a device table: by policy, exactly, or by a threshold; see select.cuh."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.primitives import RowMasks
from emberline.kernels.gpu.storage import TOTAL, DeviceStorage

__all__ = ["Victims", "first_to_leave", "updated_before"]

_SELECTION_BYTES = 64  # Selection in device/victims.cuh
_BUCKETS = 2048  # kSelectBuckets in select.cuh: 11 bits a pass
_PASSES = 3 + 6  # for a 32-bit score, then for a 64-bit key among equal scores


@dataclass(frozen=True, kw_only=True)
class Victims:
    """Rows that leave, in the order in which they are logged.

    Attributes:
        rows: uint32 [count], on the device.
        keys: int64 [count], on the host.
        count: how many.
        changes: the counters of their removal.
    """

    rows: DeviceArray
    keys: NDArray[np.int64]
    count: int
    changes: DeviceArray


def first_to_leave(
    storage: DeviceStorage, score: int, count: int, skip: DeviceArray | None
) -> Victims:
    """Choose the first rows in eviction order: lowest score, of equal ones the largest key.

    All passes are queued at once: those after the last that is needed find nothing to do, which
    takes less time than asking the device in between.

    Args:
        storage: the table's.
        score: the policy's number.
        count: rows, at least 1 and at most those that may leave.
        skip: uint64, one bit for each row that may not leave; None: all may.

    Raises:
        MemoryError: no room for the scratch memory.
    """
    launcher = storage.launcher
    selection = launcher.zeros(_SELECTION_BYTES, np.uint8)
    histogram = launcher.zeros(_BUCKETS, np.uint64)
    limit = storage.row_limit
    launcher.launch("emberline_start_selection", 1, selection, count)
    for _ in range(_PASSES):
        launcher.launch(
            "emberline_select_count", limit, storage.view, limit, score, skip, selection, histogram
        )
        launcher.launch("emberline_select_narrow", 1, selection, histogram, one_block=True)
    return _listed(storage, score, selection, skip)


def updated_before(storage: DeviceStorage, step: int) -> Victims:
    """Choose the rows whose last step is below `step`, at least 1.

    Raises:
        MemoryError: no room for the scratch memory.
    """
    selection = storage.launcher.zeros(_SELECTION_BYTES, np.uint8)
    storage.launcher.launch("emberline_select_below", 1, selection, step)
    return _listed(storage, 1, selection, None)


def _listed(
    storage: DeviceStorage, score: int, selection: DeviceArray, skip: DeviceArray | None
) -> Victims:
    launcher, limit = storage.launcher, storage.row_limit
    marks, counters = RowMasks(launcher, 0, limit), storage.counters()
    launcher.launch(
        "emberline_mark_victims",
        limit,
        storage.view,
        limit,
        score,
        skip,
        selection,
        marks.masks,
        marks.counts,
    )
    marks.sum(counters)
    count = int(launcher.download(counters)[TOTAL])
    keys = launcher.empty(count, np.int64)
    rows = marks.rows(storage.view, count, keys)
    changes = storage.counters()
    return Victims(rows=rows, keys=launcher.download(keys), count=count, changes=changes)
