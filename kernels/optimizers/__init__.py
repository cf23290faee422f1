"""Optimizers that live in a table, fused with the summing of gradients."""

from collections.abc import Mapping
from typing import Any

from emberline.kernels.optimizers.adagrad import Adagrad
from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.optimizers.sgd import SGD
from emberline.kernels.settings import from_dict

__all__ = ["SGD", "Adagrad", "Optimizer", "optimizer_from_dict"]


def optimizer_from_dict(config: Mapping[str, Any]) -> Optimizer:
    """Make the optimizer that `Optimizer.to_dict` described.

    Raises:
        ConfigError: an unknown name or setting (with the nearest known one), or a bad value.

    >>> optimizer_from_dict({"name": "Adagrad", "learning_rate": 0.1})
    Adagrad(learning_rate=0.1, initial_accumulator_value=0.1, epsilon=1e-07)
    """
    return from_dict("optimizer", {"SGD": SGD, "Adagrad": Adagrad}, config)
