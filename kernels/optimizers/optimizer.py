"""The base of the optimizers that live in a table."""

from dataclasses import MISSING, dataclass, fields
from typing import Any

from emberline.kernels.errors import ConfigError
from emberline.kernels.settings import require_number, to_dict

__all__ = ["KERNEL_SETTINGS", "Optimizer"]

# The fields of OptimizerConfig in optimizers.cuh after `kind`, in order; each a float32.
KERNEL_SETTINGS = (
    "learning_rate",
    "initial_state",
    "epsilon",
    "weight_decay",
    "clip_norm",
    "momentum",
    "decay_1",
    "rest_1",
    "decay_2",
    "rest_2",
    "power",
    "l1",
    "l2",
    "shrinkage",
    "beta",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Optimizer:
    """How a table updates a row from its summed gradient; use `SGD`, `Adagrad`, `Adam`, ...

    Names, defaults and the order of float32 operations are those of Keras 3. When every row
    is touched in every step, a table trains as Keras does on a dense variable.

    Lazy where Keras is not: a step moves the rows that occur in it and no others. So, compared with a
    dense variable whose gradient is zero for the other rows,
      * momentum, moving averages and weight decay of a row stand still while the row is away;
      * Adam corrects the bias of the updates that the row itself has seen, so the first
        step of a key that comes late is as long as that of a key seen at once;
      * `clip_norm` looks at each row alone.

    Attributes:
        learning_rate: at least 0; `apply_gradients(..., learning_rate=...)` overrides it.
        weight_decay: decoupled: `weight -= weight * weight_decay * learning_rate` before the
            update, at least 0; None for none. Keras' argument of that name.
        clip_norm: a row whose summed gradient's Euclidean norm is above it takes the gradient scaled
            to that norm; above 0; None for no limit. Keras' `clipnorm`, by row.
    """

    learning_rate: float = 0.01
    weight_decay: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if type(self) is Optimizer:
            raise TypeError("Optimizer is abstract: use SGD, Adagrad, Adam or another subclass")
        require_number(self, "learning_rate", self.learning_rate, minimum=0)
        self.check_learning_rate(self.learning_rate)
        if self.weight_decay is not None:
            require_number(self, "weight_decay", self.weight_decay, minimum=0)
        if self.clip_norm is not None:
            require_number(self, "clip_norm", self.clip_norm, minimum=0, above=True)

    def __repr__(self) -> str:
        """Name the learning rate and what differs from the defaults."""
        parts = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if f.name == "learning_rate"
            or f.default is MISSING
            or getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh; the base class has none."""
        return -1

    @property
    def states_per_weight(self) -> int:
        """Arrays of `dim` states in a row."""
        return 0

    @property
    def states_per_row(self) -> int:
        """Scalar states in a row, after the arrays."""
        return 0

    def state_floats(self, dim: int) -> int:
        """Floats of state in a row of `dim` weights."""
        return self.states_per_weight * dim + self.states_per_row

    def kernel_settings(self) -> tuple[float, ...]:
        """Give the values of `KERNEL_SETTINGS`, 0 where this optimizer has no such setting."""
        settings = {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay or 0.0,
            "clip_norm": self.clip_norm or 0.0,
            **self._kernel_settings(),
        }
        assert settings.keys() <= set(KERNEL_SETTINGS)
        return tuple(float(settings.get(name, 0.0)) for name in KERNEL_SETTINGS)

    def check_learning_rate(self, rate: float) -> None:
        """Check a rate, finite and at least 0, that is to be used for a step.

        Raises:
            ConfigError: this optimizer cannot take a step of it.
        """

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as a dictionary; `optimizer_from_dict` reads it."""
        return to_dict(self)

    def _kernel_settings(self) -> dict[str, float]:
        """Give what a subclass adds to the kernel's settings."""
        return {}

    def _require_decay(self, name: str, value: float) -> None:
        """Check a moving average's decay: in [0, 1), also after rounding to float32."""
        require_number(self, name, value, minimum=0)
        if value > 1 - 2**-24:
            raise ConfigError(f"{type(self).__name__}({name}={value!r}): must be below 1")
