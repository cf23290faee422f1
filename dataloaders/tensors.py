"""Batches as TensorFlow tensors, without a copy."""

from typing import Any

import numpy as np
import tensorflow as tf

from emberline.dataloaders.batch import ALIGNMENT_BYTES, aligned_copy
from emberline.errors import DataError

__all__ = ["to_tensors"]


def to_tensors(batch: Any) -> Any:
    """Turn the arrays of a batch into tensors that share their memory.

    Args:
        batch: arrays in tuples, lists and dicts; None stays None. Those of a `Loader` are taken
            as they are, through DLPack. Others that TensorFlow would kill the process for (not
            64-byte aligned) or reject (strided, read-only) are copied first; so are strings.

    Returns:
        The same structure of eager tensors. To give them to a `tf.function`, pass them as
        arguments. Writing into an array afterwards changes its tensor.

    Raises:
        DataError: dates or durations, which TensorFlow does not have.
    """
    if isinstance(batch, dict):
        return {name: _named(name, part) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(to_tensors(part) for part in batch)
    return None if batch is None else _tensor(batch)


def _named(name: str, part: Any) -> Any:
    try:
        return to_tensors(part)
    except DataError as error:
        raise DataError(f"column {name!r}: {error}") from error


def _tensor(array: Any) -> tf.Tensor:
    if hasattr(array, "__cuda_array_interface__"):
        # TensorFlow does not wait for the stream that fills the array.
        from cupy.cuda import get_current_stream

        get_current_stream().synchronize()
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    array = np.asarray(array)
    if array.dtype.kind in "mM":
        raise DataError(f"dtype {array.dtype}, which TensorFlow does not have; cast it")
    if array.dtype.kind in "OUS":
        return tf.constant(array)
    fits = array.flags.c_contiguous and array.flags.writeable
    if not fits or array.ctypes.data % ALIGNMENT_BYTES:
        array = aligned_copy(array)
    # A capsule and not the array: TensorFlow takes only the older, unversioned kind.
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
