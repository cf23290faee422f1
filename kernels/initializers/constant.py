"""Weights that all start with one value."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.initializers.initializer import Initializer
from emberline.kernels.settings import require_number

__all__ = ["Constant"]


@dataclass(frozen=True, kw_only=True)
class Constant(Initializer):
    """Every weight starts as `value`."""

    value: float = 0.0

    kernel_code: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        require_number(self, "value", self.value)

    @property
    def kernel_offset(self) -> float:
        """`value`."""
        return self.value
