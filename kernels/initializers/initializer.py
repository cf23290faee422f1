"""The base of the initializers of new rows."""

from dataclasses import dataclass
from typing import Any, ClassVar

from emberline.kernels.settings import to_dict

__all__ = ["Initializer"]


@dataclass(frozen=True, kw_only=True)
class Initializer:
    """How a new row's weights start; use `Uniform`, `Normal` or `Constant`.

    Counter-based: a weight is a pure function of (seed, key, lane). So a key starts with the
    same bits in any order of insertion, after any eviction and on any device.
    """

    kernel_code: ClassVar[int] = -1  # InitializerKind in initializers.cuh

    def __post_init__(self) -> None:
        """Refuse the base class itself."""
        if type(self) is Initializer:
            raise TypeError("Initializer is abstract: use Uniform, Normal or Constant")

    @property
    def kernel_offset(self) -> float:
        """What the kernel adds to the scaled random number."""
        return 0.0

    @property
    def kernel_scale(self) -> float:
        """What the kernel multiplies the random number with."""
        return 0.0

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as a dictionary; `initializer_from_dict` reads it."""
        return to_dict(self)
