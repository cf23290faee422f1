"""AdamW: Adam with decoupled weight decay."""

from dataclasses import dataclass

from emberline.kernels.errors import ConfigError
from emberline.kernels.optimizers.adam import Adam

__all__ = ["AdamW"]


@dataclass(frozen=True, kw_only=True, repr=False)
class AdamW(Adam):
    """`Adam` whose weights decay: `weight -= weight * weight_decay * learning_rate` first.

    Only the rows of a step decay, each time they occur in one.

    Attributes:
        weight_decay: at least 0, 0.004 as in Keras.

    Source: Loshchilov, Hutter 2019, Decoupled Weight Decay Regularization.

    >>> AdamW(learning_rate=0.01)
    AdamW(learning_rate=0.01)
    """

    weight_decay: float | None = 0.004

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.weight_decay is None:
            raise ConfigError("AdamW(weight_decay=None): expected a number; use Adam without decay")
