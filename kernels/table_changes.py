"""What changed in a table, by key."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TableChanges"]


class TableChanges(NamedTuple):
    """What `HashTable.changed_since` gives: who applies both parts has the table's keys.

    Attributes:
        updated: int64 [k], distinct: keys inserted or written, in row order. A key that was
            removed and came back is one of them.
        evicted: int64 [e], distinct: keys removed (evicted, expired, erased or cleared) and absent
            now, in order of their first removal. A key that only came and went in between is one
            of them; the receiver never had it.
    """

    updated: NDArray[np.int64]
    evicted: NDArray[np.int64]
