"""One feature of a `TableGroup`: which table it reads, and how its keys are combined."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from emberline.errors import nearest
from emberline.kernels.errors import ConfigError

__all__ = ["COMBINERS", "TableFeature", "require_max_length"]

COMBINERS = {"sum": 0, "mean": 1, "sqrtn": 2}  # name -> the kernels' number


def require_max_length(owner: str, value: object) -> None:
    """Check that a `max_length` is None or an integer of at least 1.

    Raises:
        ConfigError: it is not, naming the owner.
    """
    if value is None:
        return
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or not 1 <= cast(int, value) < 2**63:
        raise ConfigError(
            f"{owner}: max_length is {value!r}; expected None or an integer, at least 1"
        )


@dataclass(frozen=True, kw_only=True)
class TableFeature:
    """A feature that is looked up in a table of a group.

    Attributes:
        name: the feature, for messages.
        table: the name of its table; several features may share one.
        combiner: "sum", "mean" or "sqrtn" of the vectors of a sample, as in
            `HashTable.gather_pooled`.
        max_length: only the first so many keys of a sample count, None is all. The others are
            ignored: they get no row, are no occurrence for admission, and train nothing. Put the
            keys that matter, for example the newest, first.

    Raises:
        ConfigError: an unknown combiner, or a `max_length` below 1.
    """

    name: str
    table: str
    combiner: str = "sum"
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.combiner not in COMBINERS:
            raise ConfigError(
                f"feature {self.name!r}: unknown combiner {self.combiner!r}"
                f"{nearest(str(self.combiner), COMBINERS)}"
            )
        require_max_length(f"feature {self.name!r}", self.max_length)
