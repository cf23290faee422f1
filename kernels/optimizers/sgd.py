"""Stochastic gradient descent, with or without momentum."""

from dataclasses import dataclass

from emberline.kernels.errors import ConfigError
from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.settings import require_number

__all__ = ["SGD"]


@dataclass(frozen=True, kw_only=True, repr=False)
class SGD(Optimizer):
    """`weight -= learning_rate * gradient`, as keras.optimizers.SGD; plain, it has no state.

    With momentum, `velocity = momentum * velocity - learning_rate * gradient` and
    `weight += velocity`; with Nesterov's, `weight += momentum * velocity - learning_rate * gradient`.
    One state per weight then.

    Attributes:
        momentum: 0 to 1.
        nesterov: Nesterov's momentum; without effect where `momentum` is 0.

    Source: Polyak 1964; Sutskever, Martens, Dahl, Hinton 2013 (Nesterov's).

    >>> SGD(learning_rate=0.5)
    SGD(learning_rate=0.5)
    >>> SGD(momentum=0.9, nesterov=True).state_floats(16)
    16
    """

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        require_number(self, "momentum", self.momentum, minimum=0)
        if self.momentum > 1:
            raise ConfigError(f"SGD(momentum={self.momentum!r}): must be at most 1")
        if not isinstance(self.nesterov, bool):
            raise ConfigError(f"SGD(nesterov={self.nesterov!r}): expected True or False")

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh."""
        if self.momentum == 0:
            return 0
        return 3 if self.nesterov else 2

    @property
    def states_per_weight(self) -> int:
        """The velocity, if there is momentum."""
        return 0 if self.momentum == 0 else 1

    def _kernel_settings(self) -> dict[str, float]:
        return {"momentum": self.momentum}
