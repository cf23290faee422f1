"""A `HashTable` whose rows are in the SIMT interpreter's memory."""

from itertools import count
from typing import Any

from emberline.kernels import HashTable
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.table_settings import TableSettings
from tests.kernels.simt.launcher import SimtLauncher

_SEEDS = count(1)  # every table of a test run has schedules of its own


def simt_table(
    dim: int, *, capacity: int = 0, _hash_bits: int = 64, _seed: int | None = None, **settings: Any
) -> HashTable:
    """Make a table with `HashTable`'s arguments; `_seed` fixes the schedules."""
    table = HashTable(dim, **settings)
    launcher = SimtLauncher(next(_SEEDS) if _seed is None else _seed)
    names = ("optimizer", "initializer", "seed", "name", "max_rows")
    checked = TableSettings(dim=dim, **{name: getattr(table, name) for name in names})
    table._table = HostTable(checked, launcher, hash_bits=_hash_bits)
    table._device = "simt"
    table.reserve(capacity)
    return table
