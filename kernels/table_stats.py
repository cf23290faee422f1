"""What a table holds and what it has removed, in numbers."""

from dataclasses import dataclass

__all__ = ["TableStats"]


@dataclass(frozen=True)
class TableStats:
    """What `HashTable.stats` gives.

    Attributes:
        size: keys in the table.
        slots: of the index; `size + tombstones` is at most three quarters of it.
        tombstones: slots of removed keys that probes still have to pass.
        free_rows: rows below `row_limit` that new keys will use first.
        candidates: keys that `CountAdmission` counts and has not admitted yet.
        evicted: keys removed by `restrict`, `expire` and `on_full="evict"` so far.
        erased: keys removed by `erase` and `clear` so far.
        rejected: occurrences in `find_or_insert` that admission refused so far.
        log_entries: removals remembered for `changed_since`.
        probe_lengths: 16 counts: keys that a look-up finds in the first, second, ... chunk of
            eight slots; the last one counts all beyond.

    On a GPU, tombstones, slots and probe lengths may vary with timing; nothing else does.
    """

    size: int
    slots: int
    tombstones: int
    free_rows: int
    candidates: int
    evicted: int
    erased: int
    rejected: int
    log_entries: int
    probe_lengths: tuple[int, ...]

    @property
    def load_factor(self) -> float:
        """Used slots, tombstones included, in all slots: 0 to 0.75."""
        return (self.size + self.tombstones) / self.slots

    @property
    def mean_probe_length(self) -> float:
        """Chunks that finding a key reads, the mean over all keys; 0 for an empty table.

        Keys of the last count of `probe_lengths` count as 16.
        """
        chunks = sum(i * keys for i, keys in enumerate(self.probe_lengths, start=1))
        return chunks / self.size if self.size else 0.0
