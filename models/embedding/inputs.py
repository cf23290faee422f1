"""One feature's input in any accepted form -> tensors of keys, offsets and weights."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from emberline.errors import DataError
from emberline.models.embedding.config import FeatureConfig

__all__ = ["ragged_parts"]


def ragged_parts(feature: FeatureConfig, inputs: Mapping[str, Any]) -> list[Any]:
    """Return [keys int64 [n], offsets int64 [batch + 1]], and weights float32 [n] if there are some.

    Offsets are empty ([0]) when the feature has exactly one key per sample: no pooling is needed.

    Raises:
        DataError: float keys, an input of more than two dimensions, or weights of another form
            than the keys.
    """
    if feature.name not in inputs:
        keys = _int64(feature, inputs[f"{feature.name}__values"])
        offsets = tf.cast(inputs[f"{feature.name}__offsets"], tf.int64)
        return [keys, offsets, *_weights(feature, inputs, keys)]
    given = inputs[feature.name]
    if isinstance(given, tf.RaggedTensor):
        keys = _int64(feature, given.values)
        offsets = tf.cast(given.row_splits, tf.int64)
        return [keys, offsets, *_weights(feature, inputs, keys)]
    keys = _int64(feature, given)
    weights = _weights(feature, inputs, keys)
    none = tf.zeros((0,), tf.int64)
    if keys.shape.rank == 1:
        if feature.mask_value is not None:
            weights = [each[:, tf.newaxis] for each in weights]
            return _masked(keys[:, tf.newaxis], feature.mask_value, weights)
        return [keys, none, *weights]
    if keys.shape.rank != 2:
        raise DataError(
            f"feature {feature.name!r} has shape {tuple(keys.shape)}; expected [batch], "
            "[batch, k], a RaggedTensor, or values and offsets"
        )
    if feature.mask_value is not None:
        return _masked(keys, feature.mask_value, weights)
    shape = tf.shape(keys, out_type=tf.int64)
    offsets = none if keys.shape[1] == 1 else tf.range(shape[0] + 1) * shape[1]
    return [tf.reshape(keys, (-1,)), offsets, *(tf.reshape(each, (-1,)) for each in weights)]


def _masked(keys: Any, mask_value: int, weights: list[Any]) -> list[Any]:
    present = keys != mask_value
    lengths = tf.reduce_sum(tf.cast(present, tf.int64), axis=1)
    offsets = tf.concat([[0], tf.cumsum(lengths)], axis=0)
    kept = [tf.boolean_mask(each, present) for each in weights]
    return [tf.boolean_mask(keys, present), offsets, *kept]


def _weights(feature: FeatureConfig, inputs: Mapping[str, Any], keys: Any) -> list[Any]:
    """Return the weights of the shape of `keys`, or nothing where the feature has none."""
    if not feature.weighted:
        return []
    given = inputs[f"{feature.name}__weights"]
    values = given.values if isinstance(given, tf.RaggedTensor) else given
    weights = tf.cast(tf.convert_to_tensor(values), tf.float32)
    if not weights.shape.is_compatible_with(keys.shape):
        raise DataError(
            f"feature {feature.name!r}: its weights have shape {tuple(weights.shape)} and its keys "
            f"{tuple(keys.shape)}; expected one weight for each key"
        )
    return [weights]


def _int64(feature: FeatureConfig, given: Any) -> Any:
    keys = tf.convert_to_tensor(given.value if isinstance(given, keras.Variable) else given)
    if not keys.dtype.is_integer:
        raise DataError(
            f"feature {feature.name!r} has dtype {keys.dtype.name}; keys must be integers. Encode "
            f'it in the workflow: ["{feature.name}"] >> ops.Categorify()'
        )
    return tf.cast(keys, tf.int64)
