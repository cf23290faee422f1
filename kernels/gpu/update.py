"""The first half of an update: rows sorted, their segments found, all memory allocated."""

from dataclasses import dataclass

import numpy as np

from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.primitives import exclusive_sum, sort_by_row
from emberline.kernels.gpu.storage import DeviceStorage

__all__ = ["Update", "prepare_update"]


@dataclass(frozen=True, kw_only=True)
class Update:
    """What `DeviceTable.update` carries out.

    Attributes:
        count: positions of the batch.
        words: uint64 [count], row << 32 | position, sorted.
        starts: uint32, where each row's segment begins.
        positions: uint32 [count], of the sorted words.
        counters: how many segments there are, and how many words have a row.
    """

    count: int
    words: DeviceArray
    starts: DeviceArray
    positions: DeviceArray
    counters: DeviceArray


def prepare_update(storage: DeviceStorage, rows: DeviceArray, count: int) -> Update:
    """Sort the positions of a batch by row.

    Args:
        storage: the table's.
        rows: int64 [count], checked.
        count: at least 1.

    Raises:
        MemoryError: no scratch memory; nothing changed.
    """
    launcher = storage.launcher
    counters = storage.counters()
    words = sort_by_row(launcher, rows, count, storage.row_limit)
    flags = launcher.empty(count, np.uint32)
    launcher.launch(
        "emberline_segment_heads", count, words, count, storage.row_limit, flags, counters
    )
    rank = exclusive_sum(launcher, flags, count, counters)
    starts, positions = launcher.empty(count, np.uint32), launcher.empty(count, np.uint32)
    launcher.launch("emberline_segments", count, words, count, flags, rank, starts, positions)
    return Update(count=count, words=words, starts=starts, positions=positions, counters=counters)
