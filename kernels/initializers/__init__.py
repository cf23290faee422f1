"""Initializers of new rows: pure functions of (seed, key, lane)."""

from collections.abc import Mapping
from typing import Any

from emberline.kernels.initializers.constant import Constant
from emberline.kernels.initializers.initializer import Initializer
from emberline.kernels.initializers.normal import Normal
from emberline.kernels.initializers.uniform import Uniform
from emberline.kernels.settings import from_dict

__all__ = ["Constant", "Initializer", "Normal", "Uniform", "initializer_from_dict"]


def initializer_from_dict(config: Mapping[str, Any]) -> Initializer:
    """Make the initializer that `Initializer.to_dict` described.

    Raises:
        ConfigError: an unknown name or setting (with the nearest known one), or a bad value.

    >>> initializer_from_dict({"name": "Normal", "stddev": 0.1})
    Normal(mean=0.0, stddev=0.1)
    """
    classes = {"Uniform": Uniform, "Normal": Normal, "Constant": Constant}
    return from_dict("initializer", classes, config)
