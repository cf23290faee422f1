"""What makes two empty tables equal: the settings, checked, and as a dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from emberline.errors import nearest
from emberline.kernels.admission import Admission, admission_from_dict
from emberline.kernels.errors import ConfigError
from emberline.kernels.initializers import Initializer, Uniform, initializer_from_dict
from emberline.kernels.optimizers import SGD, Optimizer, optimizer_from_dict

__all__ = [
    "EVICTION_POLICIES",
    "MAX_DIM",
    "MAX_ROWS",
    "ROW_TYPES",
    "TableSettings",
    "require_integer",
]

MAX_DIM = 65536
MAX_ROWS = 2**32 - 2  # row numbers are 32 bits wide, one value says "none"
EVICTION_POLICIES = {"frequency": 0, "recency": 1}  # Score in select.cuh
ROW_TYPES = {"float32": 0, "bfloat16": 1, "float16": 2}  # RowType in half.cuh


def require_integer(table: str, setting: str, value: object, low: int, high: int) -> None:
    """Check that a setting is an integer in [low, high].

    Raises:
        ConfigError: it is not, naming table and setting.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"table {table!r}: {setting} is {value!r}; expected an integer")
    if not low <= value <= high:
        raise ConfigError(f"table {table!r}: {setting} is {value}; expected {low} to {high}")


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """The settings of a `HashTable` that a checkpoint keeps; see there.

    Raises:
        ConfigError: a value out of range or of the wrong type, naming it.
    """

    dim: int
    optimizer: Optimizer = field(default_factory=SGD)
    initializer: Initializer = field(default_factory=Uniform)
    seed: int = 0
    name: str = "table"
    max_rows: int = MAX_ROWS
    on_full: Literal["error", "evict"] = "error"
    eviction_policy: Literal["frequency", "recency"] = "frequency"
    eviction_log: int = 2**20
    admission: Admission | None = None
    row_type: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"a table's name is {self.name!r}; expected a non-empty string")
        require_integer(self.name, "dim", self.dim, 1, MAX_DIM)
        require_integer(self.name, "seed", self.seed, 0, 2**64 - 1)
        require_integer(self.name, "max_rows", self.max_rows, 1, MAX_ROWS)
        require_integer(self.name, "eviction_log", self.eviction_log, 0, MAX_ROWS)
        for setting, known in (
            ("on_full", ("error", "evict")),
            ("eviction_policy", tuple(EVICTION_POLICIES)),
            ("row_type", tuple(ROW_TYPES)),
        ):
            value = getattr(self, setting)
            if value not in known:
                raise ConfigError(
                    f"table {self.name!r}: unknown {setting} {value!r}{nearest(str(value), known)}"
                )
        if not isinstance(self.optimizer, Optimizer):
            raise ConfigError(
                f"table {self.name!r}: optimizer is {self.optimizer!r}; "
                "expected an Optimizer such as SGD()"
            )
        if not isinstance(self.initializer, Initializer):
            raise ConfigError(
                f"table {self.name!r}: initializer is {self.initializer!r}; "
                "expected an Initializer such as Uniform()"
            )

        if self.admission is not None and not isinstance(self.admission, Admission):
            raise ConfigError(
                f"table {self.name!r}: admission is {self.admission!r}; "
                "expected None or a rule such as CountAdmission(threshold=3)"
            )

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as JSON can hold them."""
        return {
            "dim": int(self.dim),
            "optimizer": self.optimizer.to_dict(),
            "initializer": self.initializer.to_dict(),
            "seed": int(self.seed),
            "name": self.name,
            "max_rows": int(self.max_rows),
            "on_full": self.on_full,
            "eviction_policy": self.eviction_policy,
            "eviction_log": int(self.eviction_log),
            "admission": None if self.admission is None else self.admission.to_dict(),
            "row_type": self.row_type,
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "TableSettings":
        """Make the settings that `to_dict` described; only `dim` is required.

        Raises:
            ConfigError: an unknown or missing setting, or a bad value.
        """
        known = [f.name for f in fields(cls)]
        for key in config:
            if key not in known:
                raise ConfigError(f"a table has no setting {key!r}{nearest(str(key), known)}")
        if "dim" not in config:
            raise ConfigError(f"a table needs 'dim'; given: {', '.join(config) or 'nothing'}")
        settings = dict(config)
        if "optimizer" in settings:
            settings["optimizer"] = optimizer_from_dict(settings["optimizer"])
        if "initializer" in settings:
            settings["initializer"] = initializer_from_dict(settings["initializer"])
        if settings.get("admission") is not None:
            settings["admission"] = admission_from_dict(settings["admission"])
        return cls(**settings)
