"""`DecayFrequency`: old fame fades."""

from collections.abc import Sequence
from typing import Any, Literal

import keras

from emberline.errors import DataError
from emberline.kernels import HashTable
from emberline.models.callbacks.table_callback import TableCallback

__all__ = ["DecayFrequency"]


@keras.saving.register_keras_serializable("emberline")
class DecayFrequency(TableCallback):
    """Multiplies all counts of occurrences by `factor`, so that `restrict` follows the present.

    The counts of keys that admission has not let in yet decay with them, which bounds the memory
    of `CountAdmission`. Vectors stay as they are. See `HashTable.decay_frequency`.

    Args:
        factor: 0 to 1.
        every: see `TableCallback`.
        tables: see `TableCallback`.

    Raises:
        DataError: a factor that is not from 0 to 1, or an unknown table.

    >>> DecayFrequency(0.5, every=1000).get_config()
    {'factor': 0.5, 'every': 1000, 'tables': None}
    """

    def __init__(
        self,
        factor: float,
        *,
        every: int | Literal["epoch"] = "epoch",
        tables: Sequence[str] | None = None,
    ) -> None:
        super().__init__(every=every, tables=tables)
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not number or not 0 <= factor <= 1:
            raise DataError(f"DecayFrequency: factor is {factor!r}; expected a number from 0 to 1")
        self.factor = factor

    def work(self, table: HashTable) -> None:
        """Decay the counts of one table."""
        table.decay_frequency(self.factor)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as JSON can hold them."""
        return {"factor": self.factor, **super().get_config()}
