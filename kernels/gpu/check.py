"""The invariants of a device table, verified on the host with the words of the CPU table."""

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.gpu.device_table import DeviceTable

__all__ = ["first_broken_invariant"]

Integers = NDArray[np.int64]

_CHUNK = np.dtype(
    [("tag", np.uint16, 8), ("row", np.uint32, 8), ("key", np.int64, 8), ("spare", np.uint64, 2)]
)
_EMPTY, _TOMBSTONE = 0, 1
_USED_PER_CHUNK = 6


def first_broken_invariant(table: DeviceTable) -> str:
    """Name the first broken invariant, or give an empty string; copies all but the vectors."""
    storage = table.storage
    download = storage.launcher.download
    limit = storage.row_limit
    chunks = download(storage.index_chunks()).view(_CHUNK)
    tags = chunks["tag"].reshape(-1)
    slots = np.flatnonzero(tags > _TOMBSTONE)
    rows, keys = chunks["row"].reshape(-1)[slots], chunks["key"].reshape(-1)[slots]
    bits = np.unpackbits(download(storage.live_bits()).view(np.uint8), bitorder="little")
    live = bits[:limit].astype(bool)

    def slot_name(at: int) -> str:
        return f"index chunk {slots[at] // 8} slot {slots[at] % 8}: "

    bad = np.flatnonzero(rows >= limit)
    if bad.size:
        return f"{slot_name(bad[0])}row {rows[bad[0]]} does not exist"
    bad = np.flatnonzero(~live[rows])
    if bad.size:
        return f"{slot_name(bad[0])}row {rows[bad[0]]} is free"
    row_keys, last_step, version = _metadata(table)
    bad = np.flatnonzero(row_keys[rows] != keys)
    if bad.size:
        at = bad[0]
        return f"{slot_name(at)}key {keys[at]}, but row {rows[at]} has key {row_keys[rows[at]]}"
    found = download(table.find(storage.launcher.upload(keys), keys.size))
    bad = np.flatnonzero(found != rows)
    if bad.size:
        return f"{slot_name(bad[0])}key {keys[bad[0]]} is not found here by a probe"
    if slots.size != storage.size:
        return f"index has {slots.size} keys, the table counts {storage.size}"
    tombstones = int(np.count_nonzero(tags == _TOMBSTONE))
    if tombstones != storage.tombstones:
        return f"index has {tombstones} tombstones, the table counts {storage.tombstones}"
    if slots.size + tombstones > _USED_PER_CHUNK * storage.chunk_count:
        return "index is over its load factor"
    if np.count_nonzero(live) != storage.size or bits[limit:].any():
        return f"{np.count_nonzero(bits)} rows are live, the table counts {storage.size}"
    free = download(storage.free_rows())[: storage.free_count]
    if (free >= limit).any():
        return f"free list: row {free[free >= limit][0]} does not exist"
    if live[free].any():
        return f"free list: row {free[live[free]][0]} is live"
    if np.unique(free).size != free.size:
        return "free list: a row is listed twice"
    if storage.size + free.size != limit:
        return f"rows are lost: {storage.size} live and {free.size} free of {limit}"
    return _broken_policies(table, live, row_keys, last_step, version)


def _metadata(table: DeviceTable) -> tuple[Integers, NDArray[np.uint32], NDArray[np.uint32]]:
    """Download keys, last steps and versions; undefined where a row is not live."""
    storage, limit = table.storage, table.storage.row_limit
    launcher = storage.launcher
    keys = launcher.empty(limit, np.int64)
    columns = launcher.empty(limit, np.uint32), launcher.empty(limit, np.uint32)
    launcher.launch("emberline_row_metadata", limit, storage.view, limit, keys, *columns)
    last_step, version = (launcher.download(column) for column in columns)
    return launcher.download(keys), last_step, version


def _broken_policies(
    table: DeviceTable,
    live: NDArray[np.bool_],
    keys: Integers,
    last_step: NDArray[np.uint32],
    version: NDArray[np.uint32],
) -> str:
    """The part that concerns policies, as cpu/policies.cpp words it."""
    storage = table.storage
    if storage.size > storage.settings.max_rows:
        return f"{storage.size} keys are more than max_rows, {storage.settings.max_rows}"
    rows = np.flatnonzero(live)
    bad = rows[version[rows] > storage.version]
    if bad.size:
        return f"row {bad[0]}: version {version[bad[0]]} is above the table's {storage.version}"
    bad = rows[last_step[rows] > table.newest_step]
    if bad.size:
        at = bad[0]
        return f"row {at}: last step {last_step[at]} is above the newest, {table.newest_step}"
    for slab in np.unique(rows >> storage.slab_shift).tolist():
        if storage.is_given_back(slab):
            row = rows[rows >> storage.slab_shift == slab][0]
            return f"row {row}: live, but its slab was given back"
    broken = table.log.check(storage.version)
    if broken or table.admission is None:
        return broken
    candidates = table.admission.state()[1].view(np.int64)
    both = np.intersect1d(candidates, keys[rows])
    if both.size:
        return f"key {both[0]} is in the table and a candidate for it"
    broken = table.admission.check()
    return f"admission: {broken}" if broken else ""
