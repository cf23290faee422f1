"""Scan, distinct keys and sort: several kernels each, the building blocks of a table's steps."""

from enum import IntEnum

import numpy as np

from emberline.kernels.gpu.launcher import DeviceArray, Launcher

__all__ = ["Part", "RowMasks", "distinct", "exclusive_sum", "sort_by_row"]

_SCAN_TILE = 1024  # kScanTile in device/scan.cuh
_RUN = 512  # kRun in device/sort.cuh
_DIGIT_BITS = 8  # kDigitBits there
_WARP = 32


class Part(IntEnum):
    """Which positions of a batch take part; enum Part in device/distinct.cuh."""

    ALL = 0
    MISSING = 1
    PRESENT = 2


def exclusive_sum(
    launcher: Launcher, values: DeviceArray, count: int, counters: DeviceArray
) -> DeviceArray:
    """Sum what lies before each value; the total becomes a counter.

    Args:
        launcher: of the device.
        values: uint32 [count], `count` at least 1.
        count: how many.
        counters: the step's.

    Returns:
        uint32 [count].
    """
    tiles = -(-count // _SCAN_TILE)
    sums = launcher.empty(count, np.uint32)
    totals = launcher.empty(tiles, np.uint32)
    launcher.launch("emberline_scan_tiles", count, values, count, sums, totals)
    launcher.launch("emberline_scan_totals", 1, totals, tiles, counters, one_block=True)
    launcher.launch("emberline_scan_add", count, sums, count, totals)
    return sums


def distinct(
    launcher: Launcher,
    view: DeviceArray,
    keys: DeviceArray,
    rows: DeviceArray,
    count: int,
    part: Part,
    counters: DeviceArray,
    *,
    last: bool = False,
) -> tuple[DeviceArray, DeviceArray]:
    """Choose one position for each distinct key: its first, or its last.

    Args:
        launcher: of the device.
        view: the table's.
        keys: int64 [count].
        rows: int64 [count], -1 where the key is absent.
        count: 1 to 2^31 - 1.
        part: which positions take part.
        counters: the step's.
        last: choose the last.

    Returns:
        uint32 [count] the position chosen for each position's key, 2^32 - 1 where it takes no
        part; and uint32 [count], 1 at chosen positions.
    """
    slots = 64
    while slots < 2 * count:
        slots *= 2
    table = launcher.zeros(slots, np.uint32)
    slot_of = launcher.empty(count, np.uint32)
    chosen, flags = launcher.empty(count, np.uint32), launcher.empty(count, np.uint32)
    launcher.launch(
        "emberline_distinct_claim",
        count,
        view,
        keys,
        rows,
        count,
        int(part),
        int(last),
        table,
        slots - 1,
        slot_of,
        counters,
    )
    launcher.launch(
        "emberline_distinct_choose", count, table, slot_of, count, int(last), chosen, flags
    )
    return chosen, flags


class RowMasks:
    """A choice of rows as one bit each, and how many there are before every 32 of them.

    Args:
        launcher: of the device.
        start: the first row.
        count: rows, at least 1.
    """

    def __init__(self, launcher: Launcher, start: int, count: int) -> None:
        self._launcher = launcher
        self._start, self._count = start, count
        self._words = -(-count // _WARP)
        self.masks = launcher.empty(self._words, np.uint32)
        self.counts = launcher.empty(self._words, np.uint32)

    def sum(self, counters: DeviceArray) -> None:
        """Sum the counts, which a kernel has written; the total becomes a counter."""
        self._sums = exclusive_sum(self._launcher, self.counts, self._words, counters)

    def rows(self, view: DeviceArray, chosen: int, keys: DeviceArray | None) -> DeviceArray:
        """List the rows, after `sum`.

        Args:
            view: the table's.
            chosen: how many.
            keys: int64 [chosen], gets their keys; None: not wanted.

        Returns:
            uint32 [chosen], ascending.
        """
        rows = self._launcher.empty(chosen, np.uint32)
        self._launcher.launch(
            "emberline_list_rows",
            self._count,
            view,
            self._start,
            self._count,
            self.masks,
            self._sums,
            rows,
            keys,
        )
        return rows


def sort_by_row(launcher: Launcher, rows: DeviceArray, count: int, row_limit: int) -> DeviceArray:
    """Sort positions by row, ascending within a row; those of row -1 come last.

    Args:
        launcher: of the device.
        rows: int64 [count], each below `row_limit`.
        count: 1 to 2^32 - 1.
        row_limit: bounds the digits that need a pass.

    Returns:
        uint64 [count]: row << 32 | position, `row_limit` for -1.
    """
    words, other = launcher.empty(count, np.uint64), launcher.empty(count, np.uint64)
    launcher.launch("emberline_sort_words", count, rows, count, row_limit, words)
    runs = -(-count // _RUN)
    digits = 1 << _DIGIT_BITS
    counts = launcher.empty(digits * runs, np.uint32)
    unused = launcher.empty(8, np.uint64)  # the counters of the scans
    for shift in range(32, 32 + row_limit.bit_length(), _DIGIT_BITS):
        launcher.launch("emberline_sort_count", runs * _WARP, words, count, shift, runs, counts)
        starts = exclusive_sum(launcher, counts, digits * runs, unused)
        launcher.launch(
            "emberline_sort_place", runs * _WARP, words, count, shift, runs, starts, other
        )
        words, other = other, words
    return words
