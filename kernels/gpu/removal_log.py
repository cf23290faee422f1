"""Which keys left a device table, and in which version; see cpu/eviction_log.hpp."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["RemovalLog"]

_ENTRY = np.dtype([("key", np.int64), ("version", np.uint32)], align=True)


class RemovalLog:
    """A ring of the last `capacity` removals; what it no longer knows, it says: `begin`.

    In the host's memory: a device's is scarce, and nothing there ever reads it.

    Args:
        capacity: entries, 16 bytes each once they are used.
    """

    def __init__(self, capacity: int) -> None:
        self.begin = 0  # complete for every version above this one
        self._capacity = capacity
        self._ring = np.empty(0, _ENTRY)
        self._oldest = self._count = 0

    def __len__(self) -> int:
        """Count the entries."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """Bytes of the ring."""
        return self._ring.nbytes

    def reserve(self, more: int) -> None:
        """Make room for `more` entries, so that `append` cannot fail.

        Raises:
            MemoryError: with nothing changed.
        """
        needed = min(self._count + more, self._capacity)
        slots = self._ring.shape[0]
        if needed <= slots:
            return
        grown = np.empty(min(max(needed, 2 * slots), self._capacity), _ENTRY)
        grown[: self._count] = self.entries()
        self._ring, self._oldest = grown, 0

    def append(self, keys: NDArray[np.int64], version: int) -> None:
        """Add keys in order, after `reserve`; versions never fall."""
        dropped = self._count + keys.shape[0] - self._capacity
        if dropped > 0:
            old = min(dropped, self._count)
            last = (self._oldest + dropped - 1) % max(1, self._ring.shape[0])
            self.begin = int(self._ring["version"][last]) if dropped <= old else version
            keys = keys[dropped - old :]
            self._oldest = (self._oldest + old) % max(1, self._ring.shape[0])
            self._count -= old
        if keys.shape[0] == 0:
            return
        at = (self._oldest + self._count + np.arange(keys.shape[0])) % self._ring.shape[0]
        self._ring["key"][at] = keys
        self._ring["version"][at] = version
        self._count += keys.shape[0]

    def entries(self) -> NDArray[np.void]:
        """Copy the entries, the oldest first."""
        slots = max(1, self._ring.shape[0])
        return self._ring[(self._oldest + np.arange(self._count)) % slots]

    def keys_since(self, version: int) -> NDArray[np.int64]:
        """Give the keys removed after `version`, each once, in order of their first removal."""
        entries = self.entries()
        keys = entries["key"][np.searchsorted(entries["version"], version, side="right") :]
        _, first = np.unique(keys, return_index=True)
        return np.ascontiguousarray(keys[np.sort(first)])

    def check(self, version: int) -> str:
        """Name the first entry out of order, or give an empty string.

        Args:
            version: the table's; none is above it.
        """
        versions = self.entries()["version"].astype(np.int64)
        before = np.concatenate([[self.begin], versions])[:-1]
        bad = np.flatnonzero((versions < before) | (versions > version))
        if bad.size == 0:
            return ""
        at = bad[0]
        return f"eviction log: entry {at} has version {versions[at]} after {before[at]}"
