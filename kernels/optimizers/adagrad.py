"""Adagrad: a step size per weight that falls with the squared gradients seen."""

from dataclasses import dataclass

from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.settings import require_number

__all__ = ["Adagrad"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Adagrad(Optimizer):
    """`accumulator += g * g; weight -= learning_rate * g / sqrt(accumulator + epsilon)`.

    The rule, its defaults and its order of float32 operations are keras.optimizers.Adagrad's. One
    state per weight.

    Attributes:
        learning_rate: at least 0.
        initial_accumulator_value: what a new row's accumulators start with, at least 0.
        epsilon: inside the root, above 0.

    Source: Duchi, Hazan, Singer 2011, Adaptive Subgradient Methods.
    """

    learning_rate: float = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        accumulator = self.initial_accumulator_value
        require_number(self, "initial_accumulator_value", accumulator, minimum=0)
        require_number(self, "epsilon", self.epsilon, minimum=0, above=True)

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh."""
        return 1

    @property
    def states_per_weight(self) -> int:
        """The accumulator."""
        return 1

    def _kernel_settings(self) -> dict[str, float]:
        return {"initial_state": self.initial_accumulator_value, "epsilon": self.epsilon}
