from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from emberline.dataloaders import Loader
from emberline.dataloaders.batch import aligned_copy
from emberline.dataloaders.tensors import to_tensors
from emberline.errors import DataError

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


def address(tensor: Any) -> int:
    return int(np.from_dlpack(tensor).ctypes.data)


def test_a_batch_becomes_tensors_without_a_copy(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[13, 9], [11]]), 8, targets="label", weights="price", shuffle=True)
    for batch in loader:
        tensors = to_tensors(batch)
        x, y, w = batch
        features, target, weights = tensors
        assert list(features) == list(x)
        for array, tensor in [*zip(x.values(), features.values(), strict=True), (y, target)]:
            if array.dtype == object:
                assert [text.decode() for text in tensor.numpy()] == array.tolist()
                continue
            np.testing.assert_array_equal(tensor.numpy(), array)
            assert tensor.dtype.as_numpy_dtype == array.dtype
            if array.size and array.dtype != bool:
                assert address(tensor) == array.ctypes.data
        assert float(tf.reduce_sum(weights)) == float(w.sum())


def test_a_view_of_tensors_keeps_the_position(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[13, 9]]), 8, columns=["id"], targets="label")
    view = loader.as_tensors()
    x, y = next(iter(view))
    assert isinstance(x["id"], tf.Tensor)
    assert y.dtype == tf.int8
    assert (loader.batch, view.batch) == (1, 1)
    without = Loader(write_files([[3]]), 8, columns=["id"])
    assert next(iter(without.as_tensors()))[1] is None


def test_none_and_structures_are_kept() -> None:
    array = aligned_copy(np.arange(4))
    tensors = to_tensors(({"a": array}, None, [array]))
    assert tensors[1] is None
    assert isinstance(tensors[2], list)
    assert tensors[0]["a"].numpy().tolist() == [0, 1, 2, 3]


def test_memory_that_tensorflow_would_die_of_is_copied() -> None:
    readonly = aligned_copy(np.arange(16))
    readonly.flags.writeable = False
    whole = aligned_copy(np.arange(64))
    for array in (readonly, whole[1:], whole[::2], aligned_copy(whole.reshape(8, 8)).T):
        tensor = to_tensors(array)
        assert tensor.numpy().tolist() == array.tolist()
        assert int(tf.reduce_sum(tensor)) == int(array.sum())


def test_empty_arrays_and_every_dtype() -> None:
    for kind in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"):
        for count in (0, 3):
            array = aligned_copy(np.ones(count, dtype=kind))
            assert to_tensors(array).numpy().tolist() == array.tolist()


def test_dates_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'when': dtype datetime64\[s\], which TensorFlow"):
        to_tensors({"when": np.array(["2020-01-01"], "datetime64[s]")})
