"""Optimizers that live in a table, fused with the summing of gradients."""

from collections.abc import Mapping
from typing import Any

from emberline.kernels.optimizers.adagrad import Adagrad
from emberline.kernels.optimizers.adam import Adam
from emberline.kernels.optimizers.adamw import AdamW
from emberline.kernels.optimizers.ftrl import Ftrl
from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.optimizers.rmsprop import RMSprop
from emberline.kernels.optimizers.rowwise_adagrad import RowwiseAdagrad
from emberline.kernels.optimizers.sgd import SGD
from emberline.kernels.settings import from_dict

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Ftrl",
    "Optimizer",
    "RMSprop",
    "RowwiseAdagrad",
    "optimizer_from_dict",
]

# By the name that `Optimizer.to_dict` writes.
OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    cls.__name__: cls for cls in (SGD, Adagrad, RowwiseAdagrad, Adam, AdamW, Ftrl, RMSprop)
}


def optimizer_from_dict(config: Mapping[str, Any]) -> Optimizer:
    """Make the optimizer that `Optimizer.to_dict` described.

    Raises:
        ConfigError: an unknown name or setting (with the nearest known one), or a bad value.

    >>> optimizer_from_dict({"name": "Adagrad", "learning_rate": 0.1})
    Adagrad(learning_rate=0.1)
    """
    return from_dict("optimizer", OPTIMIZERS, config)
