"""Admission by chance."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.admission.admission import Admission
from emberline.kernels.errors import ConfigError

__all__ = ["ProbabilisticAdmission"]


@dataclass(frozen=True, kw_only=True)
class ProbabilisticAdmission(Admission):
    """A key comes in by a draw in each batch where it occurs; no memory at all.

    With c occurrences in the batch it comes in with probability `1 - 0.05 ** (c / threshold)`:
    each occurrence has the same chance, and 95 % of the keys are in after `threshold` of them,
    however they are spread over batches. With `equal=False` it is `min(1, c / threshold)`.

    The draw is a hash of (seed, key, number of batches with absent keys so far), so it replays.

    Attributes:
        threshold: occurrences, at least 1.
        equal: see above.
        seed: 0 to 2^64 - 1.

    Source: Monolith's probabilistic filter (Liu et al. 2022, section 2.2).
    """

    equal: bool = True
    seed: int = 0

    kernel_code: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not isinstance(self.equal, bool):
            raise ConfigError(
                f"ProbabilisticAdmission(equal={self.equal!r}): expected True or False"
            )
        self._require_integer("seed", self.seed, 0, 2**64 - 1)

    @property
    def kernel_equal(self) -> bool:
        """`equal`."""
        return self.equal

    @property
    def kernel_seed(self) -> int:
        """`seed`."""
        return self.seed
