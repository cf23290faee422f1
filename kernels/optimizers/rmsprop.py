"""RMSprop: steps divided by a moving average of the gradient's size."""

from dataclasses import dataclass

from emberline.kernels.errors import ConfigError
from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.settings import require_number

__all__ = ["RMSprop"]


@dataclass(frozen=True, kw_only=True, repr=False)
class RMSprop(Optimizer):
    """RMSprop as keras.optimizers.RMSprop, with its order of float32 operations.

    `v = rho * v + (1 - rho) * g * g; step = learning_rate * g / sqrt(v + epsilon)`; centered, v is
    reduced by the square of `a = rho * a + (1 - rho) * g`. With momentum, `m = momentum * m + step`
    is the step. States per weight: v, then a, then m, those that are in use.

    A variance `v - a * a` that rounding makes negative counts as 0; Keras' weights become NaN.

    Attributes:
        learning_rate: at least 0.
        rho: decay of the averages, in [0, 1).
        momentum: at least 0.
        epsilon: inside the root, above 0.
        centered: divide by the deviation and not by the root mean square.

    Source: Hinton 2012, Neural Networks for Machine Learning, lecture 6e; Graves 2013 (centered).
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._require_decay("rho", self.rho)
        require_number(self, "momentum", self.momentum, minimum=0)
        require_number(self, "epsilon", self.epsilon, minimum=0, above=True)
        if not isinstance(self.centered, bool):
            raise ConfigError(f"RMSprop(centered={self.centered!r}): expected True or False")

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh."""
        return 9 + (1 if self.momentum > 0 else 0) + (2 if self.centered else 0)

    @property
    def states_per_weight(self) -> int:
        """The averages and the momentum that are in use."""
        return 1 + (1 if self.momentum > 0 else 0) + (1 if self.centered else 0)

    def _kernel_settings(self) -> dict[str, float]:
        return {
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "decay_2": self.rho,
            "rest_2": 1 - self.rho,
        }
