"""A range of a table's rows, as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TableRange"]


@dataclass(frozen=True)
class TableRange:
    """The live rows of a range of row numbers, in row order: what `HashTable.export` gives.

    Attributes:
        keys: int64 [k], distinct.
        values: float32 [k, dim], the weights.
        states: float32 [k, optimizer.state_floats(dim)].
        frequency: uint32 [k], occurrences in gradients, saturating.
        last_step: uint32 [k], the `step` of the last gradient, 0 before the first.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.float32]
    states: NDArray[np.float32]
    frequency: NDArray[np.uint32]
    last_step: NDArray[np.uint32]

    def __len__(self) -> int:
        """Count the rows."""
        return int(self.keys.shape[0])
