"""The base of the optimizers that live in a table."""

from dataclasses import dataclass
from typing import Any, ClassVar

from emberline.kernels.settings import require_number, to_dict

__all__ = ["Optimizer"]


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How a table updates a row from its summed gradient; use `SGD` or `Adagrad`.

    Lazy: a step moves the rows that occur in it and no others, as sparse optimizers do. A Keras
    optimizer on a dense variable gives the same where a zero gradient moves nothing.

    Attributes:
        learning_rate: at least 0; `apply_gradients(..., learning_rate=...)` overrides it.
    """

    learning_rate: float = 0.01

    kernel_code: ClassVar[int] = -1  # OptimizerKind in optimizers.cuh
    states_per_weight: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        if type(self) is Optimizer:
            raise TypeError("Optimizer is abstract: use SGD or Adagrad")
        require_number(self, "learning_rate", self.learning_rate, minimum=0)

    @property
    def initial_state(self) -> float:
        """What the states of a new row start with."""
        return 0.0

    @property
    def kernel_epsilon(self) -> float:
        """The epsilon the kernel takes; unused where an optimizer has none."""
        return 0.0

    def state_floats(self, dim: int) -> int:
        """Floats of state in a row of `dim` weights."""
        return self.states_per_weight * dim

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as a dictionary; `optimizer_from_dict` reads it."""
        return to_dict(self)
