"""Adam: steps from moving averages of the gradient and of its square."""

from dataclasses import dataclass

from emberline.kernels.errors import ConfigError
from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.settings import require_number

__all__ = ["Adam"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Adam(Optimizer):
    """Adam with bias correction by the row's own updates, otherwise as keras.optimizers.Adam.

    With t updates of this row, this one included:
    `m += (g - m) * (1 - beta_1); v += (g * g - v) * (1 - beta_2)` and
    `weight -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)`.

    Two states per weight (three with `amsgrad`) and t, at the end of the row. t is kept in float32,
    exactly up to 2^24.

    Why not the table's step, as Keras and TFRA do: a sparse row's averages have seen t gradients
    only. Corrected for more, the first step of a key first seen late would be up to
    `(1 - beta_1) / sqrt(1 - beta_2)` = 3.2 times as long as it should, or, early on, shorter.

    Attributes:
        learning_rate: at least 0.
        beta_1: decay of the gradient's average, in [0, 1).
        beta_2: decay of its square's, in [0, 1).
        epsilon: added to the root, above 0.
        amsgrad: divide by the largest v so far.

    Source: Kingma, Ba 2014, Adam; Reddi, Kale, Kumar 2018, On the Convergence of Adam and Beyond.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._require_decay("beta_1", self.beta_1)
        self._require_decay("beta_2", self.beta_2)
        require_number(self, "epsilon", self.epsilon, minimum=0, above=True)
        if not isinstance(self.amsgrad, bool):
            name = type(self).__name__
            raise ConfigError(f"{name}(amsgrad={self.amsgrad!r}): expected True or False")

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh."""
        return 6 if self.amsgrad else 5

    @property
    def states_per_weight(self) -> int:
        """The averages of the gradient and its square, and the largest of the latter."""
        return 3 if self.amsgrad else 2

    @property
    def states_per_row(self) -> int:
        """The row's updates."""
        return 1

    def _kernel_settings(self) -> dict[str, float]:
        return {
            "epsilon": self.epsilon,
            "decay_1": self.beta_1,
            "rest_1": 1 - self.beta_1,
            "decay_2": self.beta_2,
            "rest_2": 1 - self.beta_2,
        }
