"""Admission by an approximate count in fixed memory."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.admission.admission import Admission

__all__ = ["SketchAdmission"]


@dataclass(frozen=True, kw_only=True)
class SketchAdmission(Admission):
    """A key comes in with its `threshold`-th occurrence at the latest, counted in a sketch.

    A count-min sketch never counts too few, so no key waits longer than with `CountAdmission`;
    one that shares all its cells with more frequent candidates may come in early. Cells stop
    below the threshold, and `HashTable.decay_frequency` decays them. A key that was evicted keeps
    its cells: it comes in again with its next occurrence.

    Attributes:
        threshold: occurrences, 1 to 255.
        width: cells in a line, one byte each; several times the candidates that are expected
            between two decays.
        depth: lines.
        seed: of the hashes, 0 to 2^64 - 1.

    Source: Cormode, Muthukrishnan 2005, An Improved Data Stream Summary; the conservative update
    of Estan, Varghese 2002, by batch.
    """

    width: int = 1 << 20
    depth: int = 4
    seed: int = 0

    kernel_code: ClassVar[int] = 1
    max_threshold: ClassVar[int] = 255

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._require_integer("width", self.width, 1, 2**40)
        self._require_integer("depth", self.depth, 1, 64)
        self._require_integer("seed", self.seed, 0, 2**64 - 1)

    @property
    def kernel_width(self) -> int:
        """`width`."""
        return self.width

    @property
    def kernel_depth(self) -> int:
        """`depth`."""
        return self.depth

    @property
    def kernel_seed(self) -> int:
        """`seed`."""
        return self.seed
