"""What the tables and features of an `EmbeddingCollection` are (no TensorFlow)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from emberline.errors import DataError, nearest
from emberline.kernels import (
    Initializer,
    Optimizer,
    Uniform,
    initializer_from_dict,
    optimizer_from_dict,
)

__all__ = ["Combiner", "FeatureConfig", "TableConfig"]

Combiner = Literal["sum", "mean", "sqrtn"]

_KERAS_UNIFORM = Uniform(low=-0.05, high=0.05)  # the default of keras.layers.Embedding


def _checked(cls: type[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    known = [f.name for f in fields(cls)]
    for name in raw:
        if name not in known:
            raise DataError(f"{cls.__name__} has no field {name!r}{nearest(name, known)}")
    return dict(raw)


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """One embedding table; features that name the same config share it.

    TPUEmbedding's names (`tf.tpu.experimental.embedding.TableConfig`), but the table is a hash
    table: it takes any int64 key and grows, so `vocabulary_size` is a ceiling, not an allocation.

    Attributes:
        name: unique within a collection; names the table's files in a saved model.
        dim: floats per embedding vector, 1..4096.
        combiner: how the vectors of one sample's keys are pooled: "sum", "mean" or "sqrtn".
            A feature with one key per sample is not pooled.
        vocabulary_size: most distinct keys the table may hold; None for the hash table's limit.
        initializer: start vector of a new key, a pure function of (seed, key).
        optimizer: of this table; None takes the collection's.
        seed: of the initializer.
    """

    name: str
    dim: int
    combiner: Combiner = "mean"
    vocabulary_size: int | None = None
    initializer: Initializer = _KERAS_UNIFORM
    optimizer: Optimizer | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("_", "").replace("-", "").isalnum():
            raise DataError(
                f"table name {self.name!r}: use letters, digits, '_' and '-' (it names files)"
            )
        if not 1 <= self.dim <= 4096:
            raise DataError(f"table {self.name!r}: dim is {self.dim}, expected 1..4096")
        if self.combiner not in get_args(Combiner):
            raise DataError(
                f"table {self.name!r}: unknown combiner {self.combiner!r}"
                f"{nearest(str(self.combiner), get_args(Combiner))}"
            )
        if self.vocabulary_size is not None and self.vocabulary_size < 1:
            raise DataError(
                f"table {self.name!r}: vocabulary_size is {self.vocabulary_size}, expected >= 1"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {
            "name": self.name,
            "dim": self.dim,
            "combiner": self.combiner,
            "vocabulary_size": self.vocabulary_size,
            "initializer": self.initializer.to_dict(),
            "optimizer": None if self.optimizer is None else self.optimizer.to_dict(),
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "TableConfig":
        """Build from `to_dict`'s result; an unknown field is an error."""
        values = _checked(cls, raw)
        if values.get("initializer") is not None:
            values["initializer"] = initializer_from_dict(values["initializer"])
        if values.get("optimizer") is not None:
            values["optimizer"] = optimizer_from_dict(values["optimizer"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """One input feature and the table that embeds it.

    Attributes:
        name: the input's name; a ragged input comes as `<name>__values` and `<name>__offsets`.
        table: its table.
        mask_value: in a dense [batch, k] input, the key that means "no key here"; None: every
            entry is a key.
    """

    name: str
    table: TableConfig
    mask_value: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {
            "name": self.name,
            "table": self.table.to_dict(),
            "mask_value": self.mask_value,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "FeatureConfig":
        """Build from `to_dict`'s result; an unknown field is an error."""
        values = _checked(cls, raw)
        values["table"] = TableConfig.from_dict(cast(Mapping[str, Any], values["table"]))
        return cls(**values)
