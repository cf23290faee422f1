"""A `HashTable` whose rows are in the SIMT interpreter's memory."""

from itertools import count
from typing import Any

from emberline.kernels import HashTable
from emberline.kernels.gpu.host_table import HostTable
from tests.kernels.simt.launcher import SimtLauncher

_SEEDS = count(1)  # every table of a test run has schedules of its own


def simt_table(
    dim: int, *, capacity: int = 0, _hash_bits: int = 64, _seed: int | None = None, **settings: Any
) -> HashTable:
    """Make a table with `HashTable`'s arguments; `_seed` fixes the schedules."""
    table = HashTable(dim, **settings)
    launcher = SimtLauncher(next(_SEEDS) if _seed is None else _seed)
    table._table = HostTable(table._settings, launcher, hash_bits=_hash_bits)
    table._device = "simt"
    table.reserve(capacity)
    return table
