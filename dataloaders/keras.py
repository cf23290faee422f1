"""The loader as the data set that Keras takes.

`tf.data.Dataset.from_generator` and not `keras.utils.PyDataset`: `fit` has `shuffle=True` by
default and then asks a PyDataset for its batches in an order drawn from Python's global random
state, so the order would no longer be that of the seed and every batch would cost a window.
Keras wraps a PyDataset into a generator data set of its own anyway (about the same time a batch).
The arrays become tensors without a copy.

This module alone of the loader imports TensorFlow.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from emberline.dataloaders.column import ColumnFormat
from emberline.dataloaders.errors import LoaderStateError
from emberline.dataloaders.loader import Loader
from emberline.errors import DataError

if TYPE_CHECKING:
    from emberline.dataloaders.stream import BatchStream

__all__ = ["as_tf_dataset"]


def as_tf_dataset(loader: "BatchStream", *, prefetch: int = 0) -> tf.data.Dataset:
    """Wrap a loader for `model.fit(ds, epochs=n)`, `validation_data=`, `evaluate` and `predict`.

    One iteration of the data set is one epoch of the loader: its order is that of
    `iter(loader)`, a shuffled loader is shuffled anew for every Keras epoch, and the loader's
    position moves with it. Pass `shuffle=False` to `fit`: otherwise Keras warns that it does not
    shuffle a `tf.data.Dataset` itself, and changes nothing. After `load_state_dict` inside an epoch the data set is the rest of
    that epoch, for one Keras epoch (Keras keeps one number of steps for all epochs of a `fit`);
    call `as_keras` again for the epochs after it.

    Args:
        loader: the batches. With transforms or a map, the first one is read to see what they give.
        prefetch: batches that TensorFlow converts ahead. With 0 the loader's `state_dict` is
            exact at every training step; otherwise it may run ahead by `prefetch` batches.

    Returns:
        A data set of `(x, y)`, of `(x, y, w)` with weights, or of `x` alone without a target, with
        known cardinality.

    Raises:
        DataError: a date or duration column, which TensorFlow does not have.
        LoaderStateError: (while iterating, inside TensorFlow's own error) the loader was moved
            into another part of an epoch than the data set was made for.
    """
    first = loader.first_batch
    signature = _signature(loader)

    def batches() -> Iterator[Any]:
        if loader.first_batch != first:
            raise LoaderStateError(
                f"this data set starts at batch {first} of an epoch, the loader at batch "
                f"{loader.first_batch}; call as_keras() again after load_state_dict() or after the rest of "
                "an epoch"
            )
        yield from map(_for_keras, loader)

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(loader) - first))
    options = tf.data.Options()
    # TensorFlow would add a prefetch of its own, and the loader's position would run ahead.
    options.experimental_optimization.inject_prefetch = False
    dataset = dataset.with_options(options)
    return dataset.prefetch(prefetch) if prefetch else dataset


def _for_keras(batch: Any) -> Any:
    """Leave out a target that is not there: what Keras takes is then `x` alone."""
    without = isinstance(batch, tuple) and len(batch) == 2 and batch[1] is None
    return batch[0] if without else batch


def _signature(loader: "BatchStream") -> Any:
    if isinstance(loader, Loader) and loader.device != "cpu":
        raise DataError(
            f"device={loader.device!r}: a tf.data.Dataset is made on the host; use device='cpu', "
            "or tensors.to_tensors(batch) in a loop of your own"
        )
    if not isinstance(loader, Loader) or loader.transforms:
        return tf.nest.map_structure(_spec_like, _for_keras(loader.peek()))
    features = _specs(loader.feature_formats)
    targets = _specs(loader.target_formats)
    target: Any = next(iter(targets.values())) if len(targets) == 1 else targets
    if loader.weight_format is not None:
        (weights,) = _specs((loader.weight_format,)).values()
        return features, target, weights
    return (features, target) if targets else features


def _spec_like(array: Any) -> tf.TensorSpec:
    """The shape with any number of rows, and the dtype."""
    found = np.asarray(array)
    if found.dtype.kind in "mM":
        raise DataError(
            f"a transform gives dtype {found.dtype}, which TensorFlow does not have; cast it there"
        )
    dtype = tf.string if found.dtype.kind in "OUS" else tf.as_dtype(found.dtype)
    return tf.TensorSpec([None, *found.shape[1:]] if found.ndim else [], dtype)


def _specs(formats: tuple[ColumnFormat, ...]) -> dict[str, tf.TensorSpec]:
    specs: dict[str, tf.TensorSpec] = {}
    for form in formats:
        if form.dtype.kind in "mM":
            raise DataError(
                f"column {form.name!r} has dtype {form.dtype}, which TensorFlow does not have; "
                "cast it in the workflow, or leave it out through columns="
            )
        dtype = tf.string if form.dtype == np.dtype(object) else tf.as_dtype(form.dtype)
        shape = [None, form.width] if form.layout == "fixed" else [None]
        names = form.buffer_names()
        specs[names[0]] = tf.TensorSpec(shape, dtype)
        if form.layout == "ragged":
            specs[names[1]] = tf.TensorSpec([None], tf.int64)
    return specs
