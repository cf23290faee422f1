"""The first half of an update: rows sorted, their segments found, all memory allocated."""

from dataclasses import dataclass

import numpy as np

from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.gpu.primitives import exclusive_sum, sort_by_row

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


def prepare_update(
    launcher: Launcher, counters: DeviceArray, rows: DeviceArray, count: int, row_limit: int
) -> Update:
    """Sort the positions of a batch by row.

    Args:
        launcher: of the device.
        counters: at their start.
        rows: int64 [count], -1 or below `row_limit`.
        count: at least 1.
        row_limit: one past the highest row.

    Raises:
        MemoryError: no scratch memory; nothing changed.
    """
    words = sort_by_row(launcher, rows, count, row_limit)
    flags = launcher.empty(count, np.uint32)
    launcher.launch("emberline_segment_heads", count, words, count, row_limit, flags, counters)
    rank = exclusive_sum(launcher, flags, count, counters)
    starts, positions = launcher.empty(count, np.uint32), launcher.empty(count, np.uint32)
    launcher.launch("emberline_segments", count, words, count, flags, rank, starts, positions)
    return Update(count=count, words=words, starts=starts, positions=positions, counters=counters)
