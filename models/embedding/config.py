"""What the tables and features of an `EmbeddingCollection` are (no TensorFlow)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from emberline.errors import DataError, nearest
from emberline.kernels import (
    Admission,
    HashTable,
    Initializer,
    Optimizer,
    Uniform,
    admission_from_dict,
    initializer_from_dict,
    optimizer_from_dict,
)
from emberline.kernels.table_feature import require_max_length
from emberline.kernels.table_settings import MAX_ROWS, TableSettings

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
        vocabulary_size: most distinct keys the table may hold (`max_rows` of its `HashTable`);
            None for the hash table's limit.
        initializer: start vector of a new key, a pure function of (seed, key).
        optimizer: of this table; None takes the collection's.
        seed: of the initializer.
        on_full: at `vocabulary_size`, "error" fails the step, "evict" makes room for new keys by
            removing exactly as many as needed, never one of the batch.
        eviction_policy: which ones: "frequency" the rarest, "recency" those not updated for
            longest; of equal ones the larger key.
        admission: which new keys get a vector of their own while training, for example
            `CountAdmission(threshold=3)`; None is all.
        default: the constant vector of a key that has none of its own, because admission refused
            it or because it was never trained: one number for all lanes, or `dim` numbers. A
            sample without keys gives zeros all the same.

    >>> config = TableConfig(name="item", dim=2, default=[0.5, 1], vocabulary_size=1000)
    >>> config.default
    (0.5, 1.0)
    >>> TableConfig.from_dict(config.to_dict()) == config
    True
    """

    name: str
    dim: int
    combiner: Combiner = "mean"
    vocabulary_size: int | None = None
    initializer: Initializer = _KERAS_UNIFORM
    optimizer: Optimizer | None = None
    seed: int = 0
    on_full: Literal["error", "evict"] = "error"
    eviction_policy: Literal["frequency", "recency"] = "frequency"
    admission: Admission | None = None
    default: float | Sequence[float] = 0.0

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
        default = np.array(self.default, np.float64)
        if default.shape not in ((), (self.dim,)) or not (np.abs(default) <= 3.4e38).all():
            raise DataError(
                f"table {self.name!r}: default is {self.default!r}; expected a finite number or "
                f"{self.dim} of them"
            )
        # A tuple, so that a config read from JSON equals the one that was written.
        object.__setattr__(
            self, "default", tuple(default.tolist()) if default.ndim else float(default)
        )
        TableSettings(**self._settings(self.optimizer))  # checks the rest

    @property
    def default_vector(self) -> NDArray[np.float32]:
        """`default` as float32 [dim]."""
        return np.full(self.dim, self.default, np.float32)

    def make_table(
        self,
        optimizer: Optimizer,
        *,
        device: str = "auto",
        threads: int | Literal["auto"] = "auto",
    ) -> HashTable:
        """Make the empty table.

        Args:
            optimizer: taken where the config names none.
            device: see `HashTable`.
            threads: see `HashTable`.
        """
        return HashTable(
            **self._settings(self.optimizer or optimizer), device=device, threads=threads
        )

    def _settings(self, optimizer: Optimizer | None) -> dict[str, Any]:
        return {
            "dim": self.dim,
            "name": self.name,
            "initializer": self.initializer,
            "seed": self.seed,
            "max_rows": MAX_ROWS if self.vocabulary_size is None else self.vocabulary_size,
            "on_full": self.on_full,
            "eviction_policy": self.eviction_policy,
            "admission": self.admission,
            **({} if optimizer is None else {"optimizer": optimizer}),
        }

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
            "on_full": self.on_full,
            "eviction_policy": self.eviction_policy,
            "admission": None if self.admission is None else self.admission.to_dict(),
            # A list, as Keras writes a tuple into its configs as an object of its own.
            "default": self.default if isinstance(self.default, float) else list(self.default),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "TableConfig":
        """Build from `to_dict`'s result; a missing field has its default, an unknown one is an error."""
        values = _checked(cls, raw)
        if values.get("initializer") is not None:
            values["initializer"] = initializer_from_dict(values["initializer"])
        if values.get("optimizer") is not None:
            values["optimizer"] = optimizer_from_dict(values["optimizer"])
        if values.get("admission") is not None:
            values["admission"] = admission_from_dict(values["admission"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """One input feature and the table that embeds it.

    Attributes:
        name: the input's name; a ragged input comes as `<name>__values` and `<name>__offsets`.
        table: its table.
        mask_value: in a dense [batch, k] input, the key that means "no key here"; None: every
            entry is a key.
        max_length: only the first so many keys of a sample count, after masking; the others are
            ignored, as if they were not there. None is all.
        weighted: the input `<name>__weights` has a factor for each key, in the form that the keys
            have; vectors and their gradients are multiplied by it, and the combiner "mean"
            divides by the sum of factors, "sqrtn" by the root of the sum of their squares. The
            factors themselves get no gradient.
    """

    name: str
    table: TableConfig
    mask_value: int | None = None
    max_length: int | None = None
    weighted: bool = False

    def __post_init__(self) -> None:
        require_max_length(f"feature {self.name!r}", self.max_length)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {
            "name": self.name,
            "table": self.table.to_dict(),
            "mask_value": self.mask_value,
            "max_length": self.max_length,
            "weighted": self.weighted,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "FeatureConfig":
        """Build from `to_dict`'s result; an unknown field is an error."""
        values = _checked(cls, raw)
        values["table"] = TableConfig.from_dict(cast(Mapping[str, Any], values["table"]))
        return cls(**values)
