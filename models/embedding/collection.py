"""`EmbeddingCollection`: the one Keras layer that touches hash tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from emberline.errors import DataError, nearest
from emberline.kernels import (
    Adagrad,
    HashTable,
    MemoryUsage,
    Optimizer,
    TableFeature,
    TableGroup,
    TableStats,
    optimizer_from_dict,
)
from emberline.models.embedding.config import FeatureConfig, TableConfig
from emberline.models.embedding.inputs import ragged_parts
from emberline.models.embedding.table_files import (
    policy_arrays,
    restore_policy_arrays,
    restore_table_arrays,
    table_arrays,
    tables_saved_apart,
)
from emberline.models.embedding.table_optimizer import table_optimizer

__all__ = ["EmbeddingCollection", "embedding_collections"]

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@keras.saving.register_keras_serializable("emberline")
class EmbeddingCollection(keras.layers.Layer):
    """Embeds every feature of a model and writes the vectors side by side.

    Call it with a dict of inputs; per feature either
      * `<name>`: int64 [batch] or [batch, 1] (one key per sample), [batch, k] (k keys, those equal
        to the feature's `mask_value` left out) or a `tf.RaggedTensor` [batch, None];
      * `<name>__values` int64 [n] and `<name>__offsets` int64 [batch + 1], from 0;
    and for a `weighted` feature `<name>__weights`, floats in the form of its keys.
    The result is float32 [batch, sum of the features' table dims], in the order of the features;
    `split` cuts it into one tensor per feature.

    With `training=True` a key seen for the first time gets a row; the backward pass sums the gradients of
    equal keys and updates the table with the table's own optimizer (the model's Keras optimizer
    updates dense variables only). Only the keys of a batch move. Otherwise, and when the layer
    is frozen, nothing is ever inserted or moved: an unknown key gives its table's `default`. A
    sample without keys gives zeros.

    The trainable scalar `anchor` connects the tables to Keras' gradients; it stays 0.

    Args:
        feature_configs: the features; features whose `table` is equal share one table.
        optimizer: of every table whose config names none: one of emberline's, a Keras optimizer or
            a name (see `table_optimizer`); default `Adagrad(learning_rate=0.05)`.
        device: where the tables live: "auto", "cpu" or "gpu".
        threads: the most threads a table works on, 1 to 256, or "auto"; no result depends on it.

    Raises:
        DataError: a duplicate feature name, two different tables of one name, or an optimizer
            that a table cannot have.

    >>> from emberline.kernels import Constant, CountAdmission
    >>> rule, start = CountAdmission(threshold=2), Constant(value=1.0)
    >>> item = TableConfig(name="item", dim=2, admission=rule, default=0.5, initializer=start)
    >>> layer = EmbeddingCollection([FeatureConfig(name="seen", table=item)])
    >>> layer({"seen": np.array([7, 8, 7])}, training=True).numpy()
    array([[1. , 1. ],
           [0.5, 0.5],
           [1. , 1. ]], dtype=float32)
    >>> stats = layer.stats()["item"]
    >>> stats.size, stats.candidates
    (1, 1)
    """

    def __init__(
        self,
        feature_configs: Sequence[FeatureConfig],
        *,
        optimizer: Optimizer | keras.optimizers.Optimizer | str | None = None,
        device: str = "auto",
        threads: int | Literal["auto"] = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # weights of keys stay float32
        self.supports_jit = False  # the tables are outside of XLA's reach
        self.optimizer = (
            Adagrad(learning_rate=0.05) if optimizer is None else table_optimizer(optimizer)
        )
        self.device = device
        self.threads = threads
        self.feature_configs = tuple(feature_configs)
        if not self.feature_configs:
            raise DataError("EmbeddingCollection needs at least one feature")
        self.tables: dict[str, HashTable] = {}
        tables: dict[str, TableConfig] = {}
        names = set()
        self._columns: list[slice] = []
        width = 0
        for feature in self.feature_configs:
            table = feature.table
            if feature.name in names:
                raise DataError(f"feature {feature.name!r} is given twice")
            names.add(feature.name)
            if tables.setdefault(table.name, table) != table:
                raise DataError(
                    f"feature {feature.name!r}: another feature has a different table of the name "
                    f"{table.name!r}; give one of them another name, or use one TableConfig"
                )
            self._columns.append(slice(width, width + table.dim))
            width += table.dim
        self.output_width = width
        for name, table in tables.items():
            self.tables[name] = table.make_table(self.optimizer, device=device, threads=threads)
        self._group = TableGroup(
            list(self.tables.values()),
            [
                TableFeature(
                    name=f.name,
                    table=f.table.name,
                    combiner=f.table.combiner,
                    max_length=f.max_length,
                )
                for f in self.feature_configs
            ],
            defaults={n: t.default_vector for n, t in tables.items() if t.default_vector.any()},
        )
        self.steps = 0
        self._evicts = any(table.on_full == "evict" for table in tables.values())
        self._insertions = 0  # calls that may have evicted keys

    def build(self, input_shape: Any) -> None:
        """Create the anchor.

        Raises:
            ValueError: under a float16 policy, whose scaled loss would scale the updates too.
        """
        if keras.config.dtype_policy().compute_dtype == "float16":
            raise ValueError(
                "EmbeddingCollection does not work under the mixed_float16 policy: loss scaling "
                "would scale the tables' updates. Use 'mixed_bfloat16' or 'float32'."
            )
        self.anchor = self.add_weight(
            shape=(), initializer="zeros", dtype="float32", name="anchor", trainable=True
        )
        self.built = True

    def compute_output_spec(self, inputs: Any, training: Any = None) -> Any:
        """Give [batch, sum(dim)] without tracing the look-up."""
        self._check_names(inputs)
        batch = None
        for feature in self.feature_configs:
            if feature.name in inputs:
                batch = inputs[feature.name].shape[0]
        return keras.KerasTensor((batch, self.output_width), dtype="float32")

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """Look every feature up; see the class for shapes."""
        self._check_names(inputs)
        parts, weights = [], []
        for feature in self.feature_configs:
            keys, offsets, *own = ragged_parts(feature, inputs)
            parts += [keys, offsets]
            weights += own
        parts += weights
        if not (training and self.trainable):
            return self._look_up(parts, insert=False)[0]

        # TensorFlow ships no types for its decorators.
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def look_up_and_train(anchor: Any) -> Any:
            vectors, *found = self._look_up(parts, insert=True)

            def gradient(upstream: Any) -> Any:
                zero = tf.numpy_function(self._backward, [upstream, *found, *parts], tf.float32)
                zero.set_shape(())
                return zero

            return vectors, gradient

        return look_up_and_train(tf.convert_to_tensor(self.anchor))

    def _look_up(self, parts: Sequence[Any], *, insert: bool) -> tuple[Any, Any, Any]:
        def forward(*arrays: npt.NDArray[Any]) -> tuple[Floats, Int64s, np.int64]:
            return self._forward(arrays, insert=insert)

        types = (tf.float32, tf.int64, tf.int64)
        vectors, rows, insertions = tf.numpy_function(forward, parts, types)
        vectors.set_shape((None, self.output_width))
        rows.set_shape((None,))
        insertions.set_shape(())
        return vectors, rows, insertions

    def split(self, vectors: Any) -> dict[str, Any]:
        """Cut the layer's output [batch, sum(dim)] into {feature: [batch, dim]}."""
        return {
            feature.name: vectors[:, columns]
            for feature, columns in zip(self.feature_configs, self._columns, strict=True)
        }

    def stats(self) -> dict[str, TableStats]:
        """Count, for each table by name, what it holds, refused and removed; reads the indexes."""
        return {name: table.stats() for name, table in self.tables.items()}

    def memory_usage(self) -> dict[str, MemoryUsage]:
        """Count, for each table by name, the bytes it has reserved."""
        return {name: table.memory_usage() for name, table in self.tables.items()}

    def _check_names(self, inputs: Any) -> None:
        if not isinstance(inputs, Mapping):
            raise DataError(
                f"EmbeddingCollection takes a dict of inputs, got {type(inputs).__name__}"
            )
        for feature in self.feature_configs:
            ragged = (f"{feature.name}__values", f"{feature.name}__offsets")
            if feature.name not in inputs and not all(name in inputs for name in ragged):
                raise DataError(
                    f"feature {feature.name!r} is not among the inputs (neither {feature.name!r} "
                    f"nor {ragged[0]!r} with {ragged[1]!r}){nearest(feature.name, inputs)}"
                )
            weights = f"{feature.name}__weights"
            if feature.weighted and weights not in inputs:
                raise DataError(
                    f"feature {feature.name!r} is weighted, but {weights!r} is not among the inputs"
                    f"{nearest(weights, inputs)}"
                )

    def _forward(
        self, arrays: Sequence[npt.NDArray[Any]], *, insert: bool
    ) -> tuple[Floats, Int64s, np.int64]:
        """Return the vectors [batch, width] and all keys' rows as the tables' group orders them.

        The third is the number of calls so far that inserted keys.
        """
        keys, offsets, weights = self._batch(arrays)
        _check_batch_size(self.feature_configs, keys, offsets)
        self._insertions += insert
        vectors, rows = self._group.forward(keys, offsets, weights=weights, insert=insert)
        return vectors, rows, np.int64(self._insertions)

    def _backward(
        self, upstream: Floats, rows: Int64s, insertions: np.int64, *arrays: npt.NDArray[Any]
    ) -> npt.NDArray[np.float32]:
        """Update each table once with all its features' gradients; return the anchor's 0."""
        keys, offsets, weights = self._batch(arrays)
        self.steps += 1
        if self._evicts and insertions != self._insertions:
            # The layer was called again in this step: a row may be another key's by now.
            _, found = self._group.forward(keys, offsets, insert=False)
            rows = np.where(rows < 0, rows, found)
        self._group.backward(rows, upstream, offsets, weights=weights, step=self.steps)
        return np.zeros((), np.float32)

    def _batch(
        self, arrays: Sequence[npt.NDArray[Any]]
    ) -> tuple[Sequence[Int64s], list[Int64s | None], list[Floats | None]]:
        """Give keys, offsets and weights by feature, from what `call` strung together.

        Offsets are None where `ragged_parts` gave none: one key per sample.
        """
        count = 2 * len(self.feature_configs)
        offsets = [each if each.size else None for each in arrays[1:count:2]]
        given = iter(arrays[count:])
        weights = [next(given) if f.weighted else None for f in self.feature_configs]
        return arrays[:count:2], offsets, weights

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs (not the tables' rows)."""
        return {
            **super().get_config(),
            "feature_configs": [feature.to_dict() for feature in self.feature_configs],
            "optimizer": self.optimizer.to_dict(),
            "device": self.device,
            "threads": self.threads,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "EmbeddingCollection":
        """Build a collection with empty tables."""
        values = dict(config)
        values["feature_configs"] = [FeatureConfig.from_dict(f) for f in values["feature_configs"]]
        values["optimizer"] = optimizer_from_dict(values["optimizer"])
        return cls(**values)

    def save_own_variables(self, store: Any) -> None:
        """Put the anchor and, in Keras' own files (.keras, .weights.h5), the tables into `store`.

        `emberline.models.save_model` writes the tables apart, in row ranges.
        """
        super().save_own_variables(store)
        if not tables_saved_apart():
            store["steps"] = np.int64(self.steps)
            for name, table in self.tables.items():
                for key, array in table_arrays(table).items():
                    store[f"table:{name}:{key}"] = array
                for key, array in policy_arrays(table).items():
                    store[f"policy:{name}:{key}"] = array

    def load_own_variables(self, store: Any) -> None:
        """Restore what `save_own_variables` stored; rows the tables hold now are dropped."""
        names = list(store.keys())
        own = {name: store[name] for name in names if name.isdigit()}
        super().load_own_variables(own)
        if not tables_saved_apart():
            self.steps = int(np.asarray(store["steps"]))
            for name, table in self.tables.items():
                restore_table_arrays(table, _with_prefix(store, names, f"table:{name}:"))
                policies = _with_prefix(store, names, f"policy:{name}:")
                restore_policy_arrays(table, policies, source="the file")


def embedding_collections(model: keras.Model) -> Iterator[EmbeddingCollection]:
    """Give the layers of a model that have tables, nested ones too."""
    for layer in model._flatten_layers():
        if isinstance(layer, EmbeddingCollection):
            yield layer


def _with_prefix(store: Any, names: Sequence[str], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Give what the store has under names that begin so, by the rest of their names."""
    return {
        name.removeprefix(prefix): np.asarray(store[name])
        for name in names
        if name.startswith(prefix)
    }


def _check_batch_size(
    features: Sequence[FeatureConfig], keys: Sequence[Int64s], offsets: Sequence[Int64s | None]
) -> None:
    sizes = [
        each.size if part is None else part.size - 1
        for each, part in zip(keys, offsets, strict=True)
    ]
    for feature, size in zip(features, sizes, strict=True):
        if size != sizes[0]:
            raise DataError(
                f"feature {feature.name!r} has {size} samples, {features[0].name!r} has {sizes[0]}"
            )
