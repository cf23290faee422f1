"""Plain stochastic gradient descent."""

from dataclasses import dataclass
from typing import ClassVar

from emberline.kernels.optimizers.optimizer import Optimizer

__all__ = ["SGD"]


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """`weight -= learning_rate * gradient`, as keras.optimizers.SGD without momentum. No state.

    >>> SGD(learning_rate=0.5).to_dict()
    {'name': 'SGD', 'learning_rate': 0.5}
    """

    learning_rate: float = 0.01

    kernel_code: ClassVar[int] = 0
    states_per_weight: ClassVar[int] = 0
