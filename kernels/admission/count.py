"""Admission by exact count."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.admission.admission import Admission

__all__ = ["CountAdmission"]


@dataclass(frozen=True, kw_only=True)
class CountAdmission(Admission):
    """A key comes in with its `threshold`-th occurrence, counted exactly.

    Every occurrence in a batch counts, so a key that is there often enough comes in at once, with
    all its positions. A candidate costs 21 to 43 bytes. `HashTable.decay_frequency` decays the
    counts too and forgets candidates that reach 0, which bounds their number. A key that was
    evicted or erased starts over.

    Source: the CounterFilter of DeepRec.

    >>> from emberline.kernels import CountAdmission, HashTable
    >>> table = HashTable(2, admission=CountAdmission(threshold=2))
    >>> table.find_or_insert([5, 6, 6])
    array([-1,  0,  0])
    >>> table.find_or_insert([5])
    array([1])
    """

    kernel_code: ClassVar[int] = 0
