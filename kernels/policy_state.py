"""What a table's policies know beside its rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PolicyState"]


@dataclass(frozen=True, kw_only=True)
class PolicyState:
    """What `HashTable.export_policy_state` gives: with all rows it makes a copy that goes on equally.

    Attributes:
        newest_step: the largest last step of any key so far, what `expire(older_than=)` counts
            from.
        admission_step: batches with absent keys so far, part of `ProbabilisticAdmission`'s draw.
        candidate_keys: int64 [c], ascending: keys seen but not admitted (`CountAdmission`).
        candidate_counts: uint32 [c], how often.
        sketch_cells: uint8 [depth * width], line after line (`SketchAdmission`), else empty.
    """

    newest_step: int
    admission_step: int
    candidate_keys: NDArray[np.int64]
    candidate_counts: NDArray[np.uint32]
    sketch_cells: NDArray[np.uint8]
