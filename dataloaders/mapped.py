"""A loader seen through a function."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emberline.dataloaders.stream import BatchStream

__all__ = ["MappedLoader"]


class MappedLoader(BatchStream):
    """What `Loader.map` gives: the same stream and position, each batch passed through a function.

    Args:
        stream: the batches.
        function: of `(x, y)` or `(x, y, w)`; of one value where the stream is itself a view whose
            function gives no tuple.
    """

    def __init__(self, stream: BatchStream, function: Callable[..., Any]) -> None:
        """Keep both; nothing is read."""
        self._stream = stream
        self._function = function

    def __iter__(self) -> Iterator[Any]:
        return map(self._apply, self._stream)

    def __len__(self) -> int:
        return len(self._stream)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        return f"{self._stream!r}.map({name})"

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to, from 0."""
        return self._stream.epoch

    @property
    def batch(self) -> int:
        """The next batch's number within its epoch."""
        return self._stream.batch

    @property
    def first_batch(self) -> int:
        """The batch that the next iteration starts with."""
        return self._stream.first_batch

    def peek(self) -> Any:
        """Read the batch that comes next, and leave the position as it is."""
        return self._apply(self._stream.peek())

    def read_epoch(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """Read an epoch from batch `first` on, and leave the position as it is."""
        return map(self._apply, self._stream.read_epoch(epoch, first))

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration with the first batch of this epoch."""
        self._stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Give the position, which is the stream's; the function is not part of it."""
        return self._stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position."""
        self._stream.load_state_dict(state)

    def _apply(self, batch: Any) -> Any:
        return self._function(*batch) if isinstance(batch, tuple) else self._function(batch)
