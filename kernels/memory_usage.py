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
    """

    index: int
    rows: int
    metadata: int
    scratch: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.index + self.rows + self.metadata + self.scratch
