"""What a table's memory goes to."""

from dataclasses import dataclass

__all__ = ["MemoryUsage"]


@dataclass(frozen=True, kw_only=True)
class MemoryUsage:
    """Bytes that a table has reserved; pages never touched are counted too.

    Attributes:
        index: the key index, 128 bytes for 8 slots at a load of at most 0.75.
        rows: weights and optimizer states, in slabs of up to 4 MiB.
        metadata: key, frequency, last step and version of each row, and the free list.
        scratch: work space kept between calls, up to 60 bytes for each key of the largest batch.
        log: the keys removed, 16 bytes each, up to the table's `eviction_log`.
        admission: candidates with their counts, or the sketch.

    On a GPU the first three are device memory, the others the host's.
    """

    index: int
    rows: int
    metadata: int
    scratch: int
    log: int
    admission: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        parts = (self.index, self.rows, self.metadata, self.scratch, self.log, self.admission)
        return sum(parts)
