"""One feature of a `TableGroup`: which table it reads, and how its keys are combined."""

from dataclasses import dataclass

from emberline.errors import nearest
from emberline.kernels.errors import ConfigError

__all__ = ["COMBINERS", "TableFeature"]

COMBINERS = {"sum": 0, "mean": 1, "sqrtn": 2}  # name -> the kernels' number


@dataclass(frozen=True, kw_only=True)
class TableFeature:
    """A feature that is looked up in a table of a group.

    Attributes:
        name: the feature, for messages.
        table: the name of its table; several features may share one.
        combiner: "sum", "mean" or "sqrtn" of the vectors of a sample, as in
            `HashTable.gather_pooled`.

    Raises:
        ConfigError: an unknown combiner.
    """

    name: str
    table: str
    combiner: str = "sum"

    def __post_init__(self) -> None:
        """Check the combiner."""
        if self.combiner not in COMBINERS:
            raise ConfigError(
                f"feature {self.name!r}: unknown combiner {self.combiner!r}"
                f"{nearest(str(self.combiner), COMBINERS)}"
            )
