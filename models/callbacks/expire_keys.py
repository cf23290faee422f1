"""`ExpireKeys`: keys that were not trained for long leave."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import keras

from emberline.kernels import HashTable
from emberline.models.callbacks.table_callback import TableCallback

__all__ = ["ExpireKeys"]


@keras.saving.register_keras_serializable("emberline")
class ExpireKeys(TableCallback):
    """Removes the keys whose last update is more than `older_than` steps before the newest.

    Steps are the `EmbeddingCollection`'s: one for each backward pass, going on after a load. Only
    training refreshes a key; a key that comes again starts anew. See `HashTable.expire`.

    Args:
        older_than: steps.
        every: see `TableCallback`.
        tables: see `TableCallback`.
        shrink: also give back, after keys were removed, the memory that is left between rows.

    Attributes:
        removed: table name -> keys removed since the callback was made.

    Raises:
        DataError: a negative or fractional number, or an unknown table.

    >>> ExpireKeys(100_000, every=1000, tables=["session"]).get_config()
    {'older_than': 100000, 'shrink': False, 'every': 1000, 'tables': ['session']}
    """

    def __init__(
        self,
        older_than: int,
        *,
        every: int | Literal["epoch"] = "epoch",
        tables: Sequence[str] | None = None,
        shrink: bool = False,
    ) -> None:
        super().__init__(every=every, tables=tables)
        self._require_integer("older_than", older_than, 0)
        self.older_than = older_than
        self.shrink = shrink
        self.removed: Counter[str] = Counter()

    def work(self, table: HashTable) -> None:
        """Expire the keys of one table."""
        # Steps are 32 bits wide: a larger number is all of them.
        removed = table.expire(older_than=min(self.older_than, 2**32 - 1))
        self.removed[table.name] += removed
        if removed and self.shrink:
            table.shrink()

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as JSON can hold them."""
        return {"older_than": self.older_than, "shrink": self.shrink, **super().get_config()}
