"""`EmbeddingCollection`: the one Keras layer that touches hash tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from emberline.errors import DataError, nearest
from emberline.kernels import (
    Adagrad,
    HashTable,
    Optimizer,
    TableFeature,
    TableGroup,
    optimizer_from_dict,
)
from emberline.kernels.table_settings import MAX_ROWS
from emberline.models.embedding.config import FeatureConfig, TableConfig
from emberline.models.embedding.inputs import ragged_parts
from emberline.models.embedding.table_files import (
    restore_table_arrays,
    table_arrays,
    tables_saved_apart,
)
from emberline.models.embedding.table_optimizer import table_optimizer

__all__ = ["EmbeddingCollection"]

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@keras.saving.register_keras_serializable("emberline")
class EmbeddingCollection(keras.layers.Layer):
    """Embeds every feature of a model and writes the vectors side by side.

    Call it with a dict of inputs; per feature either
      * `<name>`: int64 [batch] or [batch, 1] (one key per sample), [batch, k] (k keys, those equal
        to the feature's `mask_value` left out) or a `tf.RaggedTensor` [batch, None];
      * `<name>__values` int64 [n] and `<name>__offsets` int64 [batch + 1], from 0.
    The result is float32 [batch, sum of the features' table dims], in the order of the features;
    `split` cuts it into one tensor per feature.

    With `training=True` a key seen for the first time gets a row; the backward pass sums the gradients of
    equal keys and updates the table with the table's own optimizer (the model's Keras optimizer
    updates dense variables only). Only the keys of a batch move. Otherwise, and when the layer
    is frozen, nothing is ever inserted or moved: an unknown key, like a sample without keys, gives zeros.

    The trainable scalar `anchor` connects the tables to Keras' gradients; it stays 0.

    Args:
        feature_configs: the features; features whose `table` is equal share one table.
        optimizer: of every table whose config names none: one of emberline's, a Keras optimizer or
            a name (see `table_optimizer`); default `Adagrad(learning_rate=0.05)`.
        device: where the tables live: "auto", "cpu" or "gpu".

    Raises:
        DataError: a duplicate feature name, two different tables of one name, or an optimizer
            that a table cannot have.
    """

    def __init__(
        self,
        feature_configs: Sequence[FeatureConfig],
        *,
        optimizer: Optimizer | keras.optimizers.Optimizer | str | None = None,
        device: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_jit = False  # the tables are outside of XLA's reach
        self.optimizer = (
            Adagrad(learning_rate=0.05) if optimizer is None else table_optimizer(optimizer)
        )
        self.device = device
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
            self.tables[name] = HashTable(
                table.dim,
                optimizer=self.optimizer if table.optimizer is None else table.optimizer,
                initializer=table.initializer,
                seed=table.seed,
                name=name,
                device=device,
                max_rows=MAX_ROWS if table.vocabulary_size is None else table.vocabulary_size,
            )
        self._group = TableGroup(
            list(self.tables.values()),
            [
                TableFeature(name=f.name, table=f.table.name, combiner=f.table.combiner)
                for f in self.feature_configs
            ],
        )
        self.steps = 0

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
        parts = []
        for feature in self.feature_configs:
            parts.extend(ragged_parts(feature, inputs))
        if not (training and self.trainable):
            vectors, _ = self._look_up(parts, insert=False)
            return vectors

        # TensorFlow ships no types for its decorators.
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def look_up_and_train(anchor: Any) -> Any:
            vectors, rows = self._look_up(parts, insert=True)

            def gradient(upstream: Any) -> Any:
                zero = tf.numpy_function(self._backward, [upstream, rows, *parts], tf.float32)
                zero.set_shape(())
                return zero

            return vectors, gradient

        return look_up_and_train(tf.convert_to_tensor(self.anchor))

    def _look_up(self, parts: Sequence[Any], *, insert: bool) -> tuple[Any, Any]:
        def forward(*arrays: npt.NDArray[Any]) -> tuple[Floats, Int64s]:
            return self._forward(arrays, insert=insert)

        vectors, rows = tf.numpy_function(forward, parts, (tf.float32, tf.int64))
        vectors.set_shape((None, self.output_width))
        rows.set_shape((None,))
        return vectors, rows

    def split(self, vectors: Any) -> dict[str, Any]:
        """Cut the layer's output [batch, sum(dim)] into {feature: [batch, dim]}."""
        return {
            feature.name: vectors[:, columns]
            for feature, columns in zip(self.feature_configs, self._columns, strict=True)
        }

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

    def _forward(
        self, arrays: Sequence[npt.NDArray[Any]], *, insert: bool
    ) -> tuple[Floats, Int64s]:
        """Return the vectors [batch, width] and every key's row, as the tables' group orders them."""
        _check_batch_size(self.feature_configs, arrays)
        return self._group.forward(arrays[::2], _offsets(arrays), insert=insert)

    def _backward(
        self, upstream: Floats, rows: Int64s, *arrays: npt.NDArray[Any]
    ) -> npt.NDArray[np.float32]:
        """Update each table once with all its features' gradients; return the anchor's 0."""
        self.steps += 1
        self._group.backward(rows, upstream, _offsets(arrays), step=self.steps)
        return np.zeros((), np.float32)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs (not the tables' rows)."""
        return {
            **super().get_config(),
            "feature_configs": [feature.to_dict() for feature in self.feature_configs],
            "optimizer": self.optimizer.to_dict(),
            "device": self.device,
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

    def load_own_variables(self, store: Any) -> None:
        """Restore what `save_own_variables` stored; rows the tables hold now are dropped."""
        names = list(store.keys())
        own = {name: store[name] for name in names if name.isdigit()}
        super().load_own_variables(own)
        if not tables_saved_apart():
            self.steps = int(np.asarray(store["steps"]))
            for name, table in self.tables.items():
                prefix = f"table:{name}:"
                arrays = {
                    key.removeprefix(prefix): np.asarray(store[key])
                    for key in names
                    if key.startswith(prefix)
                }
                restore_table_arrays(table, arrays)


def _offsets(arrays: Sequence[npt.NDArray[Any]]) -> list[Int64s | None]:
    """Give each feature's offsets; None where `ragged_parts` gave none: one key per sample."""
    return [offsets if offsets.size else None for offsets in arrays[1::2]]


def _check_batch_size(
    features: Sequence[FeatureConfig], arrays: Sequence[npt.NDArray[Any]]
) -> None:
    sizes = [
        values.size if offsets is None else offsets.size - 1
        for values, offsets in zip(arrays[::2], _offsets(arrays), strict=True)
    ]
    for feature, size in zip(features, sizes, strict=True):
        if size != sizes[0]:
            raise DataError(
                f"feature {feature.name!r} has {size} samples, {features[0].name!r} has {sizes[0]}"
            )
