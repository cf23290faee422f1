"""The base of the callbacks that work on tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras

from emberline.errors import DataError, nearest
from emberline.kernels import HashTable
from emberline.models.embedding.collection import embedding_collections

__all__ = ["TableCallback"]


class TableCallback(keras.callbacks.Callback):
    """Works on a model's tables every so often while it trains; use one of its subclasses.

    Args:
        every: "epoch": at the end of each epoch, after its validation; or n, after every n-th
            training step. Steps are the optimizer's `iterations`, which a saved model keeps, so
            training that was interrupted goes on in the same rhythm. Where several steps are one
            execution (`steps_per_execution`), after the execution that holds the n-th.
        tables: names of the tables to work on; None is all of the model.

    Raises:
        DataError: another `every`, or, when training begins, a model without such tables.
    """

    def __init__(
        self, *, every: int | Literal["epoch"] = "epoch", tables: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        if every != "epoch":
            self._require_integer("every", every, 1, " or 'epoch'")
        if isinstance(tables, str):
            raise DataError(
                f"{type(self).__name__}: tables is {tables!r}; expected a list of names"
            )
        self.every = every
        self.tables = None if tables is None else tuple(tables)
        self._periods_done = 0

    def work(self, table: HashTable) -> None:
        """Do to one table what the callback is for."""
        raise NotImplementedError(f"{type(self).__name__} does not define work")

    def on_train_begin(self, logs: Any = None) -> None:
        """Check the tables' names before the first step, not after the first epoch."""
        self._chosen()
        self._periods_done = self._periods()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Work where a period of steps is over."""
        periods = self._periods()
        if periods > self._periods_done:
            self._periods_done = periods
            self._work()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Work where the period is an epoch."""
        if self.every == "epoch":
            self._work()

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as JSON can hold them."""
        return {"every": self.every, "tables": None if self.tables is None else list(self.tables)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "TableCallback":
        """Make the callback that `get_config` described."""
        return cls(**config)

    def _work(self) -> None:
        for table in self._chosen():
            self.work(table)

    def _periods(self) -> int:
        """Count the periods of `every` steps that are over."""
        if self.every == "epoch":
            return 0
        return int(self.model.optimizer.iterations.numpy()) // self.every

    def _chosen(self) -> list[HashTable]:
        found = [t for layer in embedding_collections(self.model) for t in layer.tables.values()]
        names = [table.name for table in found]
        if not found:
            raise DataError(
                f"{type(self).__name__}: model {self.model.name!r} has no tables; it needs an "
                "EmbeddingCollection"
            )
        for name in self.tables or ():
            if name not in names:
                raise DataError(
                    f"{type(self).__name__}: the model has no table {name!r}{nearest(name, names)}"
                )
        return [table for table in found if self.tables is None or table.name in self.tables]

    def _require_integer(self, name: str, value: object, low: int, other: str = "") -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise DataError(
                f"{type(self).__name__}: {name} is {value!r}; expected an integer, at least "
                f"{low}{other}"
            )
