"""The loader as a `keras.utils.PyDataset`."""

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from emberline.dataloaders.errors import LoaderStateError
from emberline.dataloaders.stream import BatchStream
from emberline.errors import DataError

__all__ = ["LoaderPyDataset"]

_AHEAD = 16  # batches kept for whoever asks for them late, as Keras' worker threads do


class LoaderPyDataset(keras.utils.PyDataset):
    """Batch i of the loader's epoch is item i, in whatever order they are asked for.

    For `fit`, `evaluate`, `predict` and `validation_data=`, on any Keras backend. Every epoch of
    Keras moves the loader's `epoch` by one, so a shuffled loader is shuffled anew.

    Pass `shuffle=False` to `fit`. Its default asks for the batches in an order drawn from Python's
    global random state: the order would be no function of the seed, and every batch would cost a
    window of rows. That works, and warns. Keras also takes batches ahead, so only whole epochs
    count in the loader's `state_dict`; `as_tf_dataset` has neither limit.

    Args:
        stream: the batches, at the start of an epoch.

    Raises:
        LoaderStateError: the stream is inside an epoch, now or when batches are asked for.
        DataError: its arrays are on a GPU; a view by `as_tensors` can be given.
    """

    def __init__(self, stream: BatchStream) -> None:
        """Keep the stream; nothing is read."""
        super().__init__()
        if getattr(stream, "device", "cpu") != "cpu":
            raise DataError(
                "Keras takes no CuPy arrays; give it loader.as_tensors().as_pydataset(), or use "
                "device='cpu'"
            )
        self._stream = stream
        self._check()
        self._lock = threading.Lock()  # Keras may ask from several threads
        self._within = False
        self._warned = False
        self._forget()

    def __len__(self) -> int:
        return len(self._stream)

    def __getitem__(self, index: int) -> Any:
        """Give batch `index` of the epoch.

        Raises:
            IndexError: no such batch.
        """
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"batch {index} does not exist: an epoch has {len(self)} batches")
        with self._lock:
            if self._epoch != self._stream.epoch:
                self._forget()
            return _for_keras(self._take(number))

    def on_epoch_begin(self) -> None:
        """Note that an epoch of Keras has begun."""
        self._within = True

    def on_epoch_end(self) -> None:
        """Move the loader to its next epoch; Keras also calls this without an epoch before it."""
        with self._lock:
            if self._within:
                self._within = False
                self._stream.set_epoch(self._stream.epoch + 1)
            self._forget()

    def _check(self) -> None:
        if self._stream.first_batch:
            raise LoaderStateError(
                f"the loader starts at batch {self._stream.first_batch} of an epoch, but a "
                "PyDataset is whole epochs; use as_tf_dataset() for the rest of this one, or "
                "set_epoch()"
            )

    def _forget(self) -> None:
        self._epoch = self._stream.epoch
        self._batches: Iterator[Any] = iter(())
        self._next = -1  # the number that `_batches` gives next; -1 where it has not begun
        self._jumps = 0
        self._kept: dict[int, Any] = {}

    def _take(self, number: int) -> Any:
        if number in self._kept:
            return self._kept.pop(number)
        if not 0 <= number - self._next < _AHEAD or self._next < 0:
            self._jump(number)
        while self._next < number:
            self._keep(self._next, next(self._batches))
            self._next += 1
        self._next += 1
        return next(self._batches)

    def _keep(self, number: int, batch: Any) -> None:
        self._kept[number] = batch
        if len(self._kept) > _AHEAD:
            self._kept.pop(min(self._kept))

    def _jump(self, number: int) -> None:
        # Keras begins each epoch, and looks at the first two batches before the first one.
        self._jumps += number > 0
        if self._jumps == 3 and not self._warned:
            self._warned = True
            warnings.warn(
                "the batches of a loader are asked for out of order: each costs a window of rows, "
                "and the order is not that of the seed. Pass shuffle=False to fit(), or give it "
                "as_tf_dataset()",
                stacklevel=2,
            )
        self._check()  # it may have been moved since
        self._batches = self._stream.read_epoch(self._epoch, number)
        self._next = number


def _for_keras(batch: Any) -> Any:
    """Leave out a target that is not there, and make tensors of strings: Keras wants dtypes."""
    if isinstance(batch, tuple) and len(batch) == 2 and batch[1] is None:
        batch = (batch[0],)
    return keras.tree.map_structure(_with_dtype, batch)


def _with_dtype(array: Any) -> Any:
    if isinstance(array, np.ndarray) and array.dtype.kind in "OUS":
        return keras.ops.convert_to_tensor(array, dtype="string")
    return array
