"""`RestrictTables`: a bound on the number of keys."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras

from emberline.errors import DataError, nearest
from emberline.kernels import HashTable
from emberline.kernels.table_settings import EVICTION_POLICIES
from emberline.models.callbacks.table_callback import TableCallback

__all__ = ["RestrictTables"]

Numbers = int | Mapping[str, int]


@keras.saving.register_keras_serializable("emberline")
class RestrictTables(TableCallback):
    """Keeps the best `num_reserved` keys of a table, whenever it has more than `trigger`.

    Weights, optimizer states and counts of the other keys go with them; one that comes again
    starts anew. See `HashTable.restrict`; put it before a callback that saves the model.

    Args:
        num_reserved: keys to keep, one number for every table or table name -> number.
        trigger: nothing happens to a table that has at most so many keys; None is
            `num_reserved`. One number, or table name -> number.
        policy: "frequency" keeps the most frequent keys, "recency" those updated last.
        every: see `TableCallback`.
        tables: see `TableCallback`; where `num_reserved` names tables, they are those.
        shrink: also give back, after keys were removed, the memory that is left between rows.

    Attributes:
        removed: table name -> keys removed since the callback was made.

    Raises:
        DataError: a negative or fractional number, or an unknown policy or table.

    >>> callback = RestrictTables({"user": 1_000_000, "item": 50_000}, every=10_000)
    >>> callback.get_config()["num_reserved"]
    {'user': 1000000, 'item': 50000}
    """

    def __init__(
        self,
        num_reserved: Numbers,
        trigger: Numbers | None = None,
        policy: Literal["frequency", "recency"] = "frequency",
        *,
        every: int | Literal["epoch"] = "epoch",
        tables: Sequence[str] | None = None,
        shrink: bool = False,
    ) -> None:
        if isinstance(num_reserved, Mapping):
            tables = list(num_reserved) if tables is None else tables
            for name in tables:
                if name not in num_reserved:
                    raise DataError(
                        f"RestrictTables: num_reserved has no number for table {name!r}"
                    )
        super().__init__(every=every, tables=tables)
        for setting, value in (("num_reserved", num_reserved), ("trigger", trigger)):
            for number in value.values() if isinstance(value, Mapping) else [value]:
                if number is not None or setting == "num_reserved":
                    self._require_integer(setting, number, 0)
        if policy not in EVICTION_POLICIES:
            raise DataError(
                f"RestrictTables: unknown policy {policy!r}{nearest(str(policy), EVICTION_POLICIES)}"
            )
        self.num_reserved = num_reserved
        self.trigger = trigger
        self.policy = policy
        self.shrink = shrink
        self.removed: Counter[str] = Counter()

    def work(self, table: HashTable) -> None:
        """Restrict one table."""
        num_reserved, trigger = self.num_reserved, self.trigger
        if isinstance(num_reserved, Mapping):
            num_reserved = num_reserved[table.name]
        if isinstance(trigger, Mapping):
            trigger = trigger.get(table.name)
        removed = table.restrict(num_reserved, trigger, self.policy)
        self.removed[table.name] += removed
        if removed and self.shrink:
            table.shrink()

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as JSON can hold them."""
        return {
            "num_reserved": _plain(self.num_reserved),
            "trigger": _plain(self.trigger),
            "policy": self.policy,
            "shrink": self.shrink,
            **super().get_config(),
        }


def _plain(numbers: Numbers | None) -> int | dict[str, int] | None:
    return dict(numbers) if isinstance(numbers, Mapping) else numbers
