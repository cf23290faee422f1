"""What every stream of batches can be turned into."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

    from emberline.dataloaders.mapped import MappedLoader
    from emberline.dataloaders.pydataset import LoaderPyDataset

__all__ = ["Batch", "BatchStream"]

Batch = tuple[Any, ...]
"""`(x, y)`, or `(x, y, w)` with weights: features by name; the target (an array, a dict of
several, or None); the rows' weights."""


class BatchStream(ABC):
    """Epochs of batches with a position: a `Loader`, or a view of one by `map`."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """Run one epoch, or what is left of it after `load_state_dict`."""

    @abstractmethod
    def __len__(self) -> int:
        """Batches of one epoch, of this rank."""

    @property
    @abstractmethod
    def epoch(self) -> int:
        """The epoch that the next batch belongs to, from 0."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """The next batch's number within its epoch."""

    @property
    @abstractmethod
    def first_batch(self) -> int:
        """The batch that the next iteration starts with: 0, except after `load_state_dict`."""

    @abstractmethod
    def peek(self) -> Any:
        """Read the batch that comes next, and leave the position as it is."""

    @abstractmethod
    def read_epoch(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """Read an epoch from batch `first` on, and leave the position as it is."""

    @abstractmethod
    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration with the first batch of this epoch."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Give the position after the last batch delivered, as JSON values."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position: the next iteration gives the rest of its epoch."""

    def epochs(self, count: int) -> Iterator[Any]:
        """Run `count` epochs as one iteration; after `load_state_dict` the first is the rest."""
        for _ in range(count):
            yield from self

    def map(self, function: Callable[..., Any]) -> "MappedLoader":
        """Give a view whose batches are `function(x, y)`, or `function(x, y, w)` with weights.

        The view and this stream have one position. The function runs where the batches are
        taken; what it gives may be anything, for Keras `x`, `(x, y)` or `(x, y, w)`.

        >>> from emberline.dataloaders import Loader
        >>> loader = Loader({"id": [1, 2, 3], "label": [0, 1, 0]}, 2, targets="label")
        >>> view = loader.map(lambda x, y: (x["id"] * 10).tolist())
        >>> next(iter(view)), view.batch, loader.batch
        ([10, 20], 1, 1)
        >>> view.load_state_dict(loader.state_dict())
        >>> list(view)
        [[30]]
        """
        from emberline.dataloaders.mapped import MappedLoader

        return MappedLoader(self, function)

    def as_tensors(self) -> "MappedLoader":
        """Give a view whose arrays are TensorFlow tensors in the same memory; see `to_tensors`.

        For a loop of one's own: `for x, y in loader.as_tensors(): step(x, y)`.
        """
        from emberline.dataloaders.tensors import to_tensors

        return self.map(_all(to_tensors))

    def as_tf_dataset(self, *, prefetch: int = 0) -> "tf.data.Dataset":
        """Give what `fit`, `evaluate` and `predict` take; see `keras.as_tf_dataset`."""
        from emberline.dataloaders.keras import as_tf_dataset

        return as_tf_dataset(self, prefetch=prefetch)

    def as_keras(self, *, prefetch: int = 0) -> "tf.data.Dataset":
        """Give what `fit`, `evaluate` and `predict` take: another name of `as_tf_dataset`."""
        return self.as_tf_dataset(prefetch=prefetch)

    def as_pydataset(self) -> "LoaderPyDataset":
        """Give a `keras.utils.PyDataset`, for Keras on any backend; see `LoaderPyDataset`."""
        from emberline.dataloaders.pydataset import LoaderPyDataset

        return LoaderPyDataset(self)


def _all(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Give a function of the batch as a function of its parts."""

    def of_parts(*parts: Any) -> Any:
        return function(parts)

    return of_parts
