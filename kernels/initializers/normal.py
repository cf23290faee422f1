"""Normally distributed weights."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.initializers.initializer import Initializer
from emberline.kernels.settings import require_number

__all__ = ["Normal"]


@dataclass(frozen=True, kw_only=True)
class Normal(Initializer):
    """`mean + stddev * z` with z standard normal, in float32; |z| is at most 5.77.

    Attributes:
        mean: the distribution's mean.
        stddev: its standard deviation, at least 0.

    Source: Box and Muller 1958, A Note on the Generation of Random Normal Deviates.
    """

    mean: float = 0.0
    stddev: float = 0.05

    kernel_code: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        require_number(self, "mean", self.mean)
        require_number(self, "stddev", self.stddev, minimum=0)

    @property
    def kernel_offset(self) -> float:
        """`mean`."""
        return self.mean

    @property
    def kernel_scale(self) -> float:
        """`stddev`."""
        return self.stddev
