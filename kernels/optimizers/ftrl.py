"""FTRL-Proximal: for sparse linear models; L1 makes weights exactly zero."""

from dataclasses import dataclass

from emberline.kernels.errors import ConfigError
from emberline.kernels.optimizers.optimizer import Optimizer
from emberline.kernels.settings import require_number

__all__ = ["Ftrl"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Ftrl(Optimizer):
    """Follow the regularized leader, as keras.optimizers.Ftrl.

    With n the accumulator, n' = n + g * g and p = -learning_rate_power:
    `linear += g + 2 * l2_shrinkage * weight - (n'^p - n^p) / learning_rate * weight` and
    `weight = (clip(linear, -l1, l1) - linear) / (n'^p / learning_rate + 2 * l2 + beta / learning_rate)`.
    Two states per weight. The weight follows from the states alone once the row was updated.

    Attributes:
        learning_rate: above 0, also in `apply_gradients`: the rule divides by it.
        learning_rate_power: at most 0; -0.5 is Adagrad's schedule and the fast one.
        initial_accumulator_value: n of a new row, at least 0.
        l1_regularization_strength: at least 0.
        l2_regularization_strength: at least 0.
        l2_shrinkage_regularization_strength: at least 0, a penalty on the weight's size.
        beta: of the paper, at least 0.

    Source: McMahan et al. 2013, Ad Click Prediction: a View from the Trenches.
    """

    learning_rate: float = 0.001
    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        power = self.learning_rate_power
        require_number(self, "learning_rate_power", power)
        if power > 0:
            raise ConfigError(f"Ftrl(learning_rate_power={power!r}): must be at most 0")
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        ):
            require_number(self, name, getattr(self, name), minimum=0)

    def check_learning_rate(self, rate: float) -> None:
        """Check a step's rate.

        Raises:
            ConfigError: it is 0.
        """
        if rate == 0:
            raise ConfigError("Ftrl divides by learning_rate, which is 0; leave the step out")

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh."""
        return 7 if self.learning_rate_power == -0.5 else 8

    @property
    def states_per_weight(self) -> int:
        """The accumulator and the linear term."""
        return 2

    def _kernel_settings(self) -> dict[str, float]:
        return {
            "initial_state": self.initial_accumulator_value,
            "power": -self.learning_rate_power,
            "l1": self.l1_regularization_strength,
            "l2": self.l2_regularization_strength,
            "shrinkage": 2 * self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
