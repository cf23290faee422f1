"""One feature's input in any accepted form -> (keys, offsets) tensors."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from emberline.errors import DataError
from emberline.models.embedding.config import FeatureConfig

__all__ = ["ragged_parts"]


def ragged_parts(feature: FeatureConfig, inputs: Mapping[str, Any]) -> list[Any]:
    """Return [keys int64 [n], offsets int64 [batch + 1]].

    Offsets are empty ([0]) when the feature has exactly one key per sample: no pooling is needed.

    Raises:
        DataError: float keys, or an input of more than two dimensions.
    """
    if feature.name not in inputs:
        values = inputs[f"{feature.name}__values"]
        offsets = inputs[f"{feature.name}__offsets"]
        return [_int64(feature, values), tf.cast(offsets, tf.int64)]
    given = inputs[feature.name]
    if isinstance(given, tf.RaggedTensor):
        return [_int64(feature, given.values), tf.cast(given.row_splits, tf.int64)]
    keys = _int64(feature, given)
    none = tf.zeros((0,), tf.int64)
    if keys.shape.rank == 1:
        if feature.mask_value is not None:
            return _masked(keys[:, tf.newaxis], feature.mask_value)
        return [keys, none]
    if keys.shape.rank != 2:
        raise DataError(
            f"feature {feature.name!r} has shape {tuple(keys.shape)}; expected [batch], "
            "[batch, k], a RaggedTensor, or values and offsets"
        )
    if feature.mask_value is not None:
        return _masked(keys, feature.mask_value)
    if keys.shape[1] == 1:
        return [tf.reshape(keys, (-1,)), none]
    shape = tf.shape(keys, out_type=tf.int64)
    return [tf.reshape(keys, (-1,)), tf.range(shape[0] + 1) * shape[1]]


def _masked(keys: Any, mask_value: int) -> list[Any]:
    present = keys != mask_value
    lengths = tf.reduce_sum(tf.cast(present, tf.int64), axis=1)
    return [tf.boolean_mask(keys, present), tf.concat([[0], tf.cumsum(lengths)], axis=0)]


def _int64(feature: FeatureConfig, given: Any) -> Any:
    keys = tf.convert_to_tensor(given.value if isinstance(given, keras.Variable) else given)
    if not keys.dtype.is_integer:
        raise DataError(
            f"feature {feature.name!r} has dtype {keys.dtype.name}; keys must be integers. Encode "
            f'it in the workflow: ["{feature.name}"] >> ops.Categorify()'
        )
    return tf.cast(keys, tf.int64)
