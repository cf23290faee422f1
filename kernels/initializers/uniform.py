"""Uniformly distributed weights."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.errors import ConfigError
from emberline.kernels.initializers.initializer import Initializer
from emberline.kernels.settings import require_number

__all__ = ["Uniform"]


@dataclass(frozen=True, kw_only=True)
class Uniform(Initializer):
    """`low + (high - low) * u` with u one of 2^24 equidistant numbers in [0, 1), in float32.

    Attributes:
        low: the least weight.
        high: at least `low`; itself drawn only where float32 rounds up to it.
    """

    low: float = -0.05
    high: float = 0.05

    kernel_code: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        require_number(self, "low", self.low)
        require_number(self, "high", self.high)
        require_number(self, "high - low", self.high - self.low)
        if self.high < self.low:
            raise ConfigError(f"Uniform(low={self.low}, high={self.high}): low is above high")

    @property
    def kernel_offset(self) -> float:
        """`low`."""
        return self.low

    @property
    def kernel_scale(self) -> float:
        """`high - low`."""
        return self.high - self.low
