"""A table as a collection: rows set, added to, erased, exported and imported."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emberline.kernels import _cpu
from emberline.kernels.arrays import float_matrix, integer_vector, key_vector
from emberline.kernels.errors import ConfigError
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.table_range import TableRange
from emberline.kernels.table_settings import MAX_ROWS, TableSettings, require_integer

__all__ = ["TableContents"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class TableContents:
    """The part of `HashTable` that moves whole rows in and out; see there."""

    _table: _cpu.Table | HostTable
    _settings: TableSettings
    _dim: int

    def assign(self, keys: ArrayLike, values: Floats, states: Floats | None = None) -> None:
        """Set the weights of keys, inserting the absent ones; the last of equal keys wins.

        Args:
            keys: int64 [n].
            values: float32 [n, dim]; rounded to the nearest of `row_type`.
            states: float32 [n, optimizer.state_floats(dim)]; None leaves a present key's states
                as they are and a new key's at the optimizer's initial value.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        keys = key_vector(keys)
        count = keys.shape[0]
        values = float_matrix(values, "values", rows=count, columns=self._dim)
        if states is not None:
            states = self._state_matrix(states, count)
        self._table.upsert(keys, values, states, None, None)

    def add(
        self,
        keys: ArrayLike,
        values: Floats,
        *,
        missing: Literal["initial", "zeros"] = "initial",
    ) -> None:
        """Add to the weights of keys; equal keys accumulate in order of position.

        An absent key comes in, without asking `admission`. States, frequency and last step stay
        as they are, or as a new row has them: this is no training step.

        Args:
            keys: int64 [n].
            values: float32 [n, dim]; its rows may lie apart.
            missing: what an absent key starts from, as in `lookup`: its initial weights, so that
                `lookup` grows by `values` whether the key was there or not; or zeros, so that it
                gets `values` itself.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.

        >>> from emberline.kernels import HashTable
        >>> table = HashTable(2, name="clicks")
        >>> table.add([7, 8, 7], np.array([[1, 2], [5, 5], [10, 20]], np.float32), missing="zeros")
        >>> table.lookup([7, 8])
        array([[11., 22.],
               [ 5.,  5.]], dtype=float32)
        """
        if missing not in ("initial", "zeros"):
            raise ConfigError(f"missing is {missing!r}; expected 'initial' or 'zeros'")
        keys = key_vector(keys)
        values = float_matrix(values, "values", rows=keys.shape[0], columns=self._dim)
        self._table.add(keys, values, missing == "initial")

    def erase(self, keys: ArrayLike) -> int:
        """Remove keys; absent ones are ignored. A key seen again later starts anew.

        Returns:
            How many were removed.
        """
        return self._table.erase(key_vector(keys))

    def clear(self) -> None:
        """Remove all keys and give the memory back; row numbers start at 0 again."""
        self._table.clear()

    def reserve(self, n: int) -> None:
        """Make room for `n` keys in all, so that inserting up to them neither grows nor fails.

        Raises:
            TableFullError: `n` is above `max_rows`, or the system refuses the memory.
        """
        require_integer(self._settings.name, "capacity", n, 0, MAX_ROWS)
        self._table.reserve(int(n))

    def keys(self) -> Integers:
        """Give all keys, int64 [size], in row order."""
        limit = self._table.row_limit()
        keys = np.empty(limit, np.int64)
        return _shorten(keys, self._table.export_keys(0, limit, keys))

    def export(self, start: int = 0, stop: int | None = None, *, since: int = 0) -> TableRange:
        """Copy out the live rows among row numbers [start, stop), in one consistent pass.

        Args:
            start: the first row number.
            stop: one past the last; None is `row_limit`.
            since: a version that `advance_version` gave: only rows inserted or written after it.

        Returns:
            The rows, in row order; ranges that cover `[0, row_limit)` cover the table.
        """
        limit = self._table.row_limit()
        stop = limit if stop is None else stop
        if not 0 <= start <= stop:
            raise ConfigError(
                f"table {self._settings.name!r}: export({start}, {stop}); expected 0 <= start <= stop"
            )
        require_integer(self._settings.name, "since", since, 0, 2**32 - 1)
        start, stop = min(start, limit), min(stop, limit)
        rows = stop - start
        keys = np.empty(rows, np.int64)
        values = np.empty((rows, self._dim), np.float32)
        states = np.empty((rows, self._settings.optimizer.state_floats(self._dim)), np.float32)
        frequency, last_step = np.empty(rows, np.uint32), np.empty(rows, np.uint32)
        count = self._table.export_rows(
            start, stop, since, keys, values, states, frequency, last_step
        )
        return TableRange(
            *(_shorten(a, count) for a in (keys, values, states, frequency, last_step))
        )

    def import_(self, range: TableRange) -> None:
        """Insert or overwrite rows, with states, frequency and last step; the last of equals wins.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        keys = key_vector(range.keys)
        count = keys.shape[0]
        values = float_matrix(range.values, "values", rows=count, columns=self._dim)
        states = self._state_matrix(range.states, count)
        frequency = integer_vector(range.frequency, "frequency", dtype=np.uint32, length=count)
        last_step = integer_vector(range.last_step, "last_step", dtype=np.uint32, length=count)
        self._table.upsert(keys, values, states, frequency, last_step)

    def _state_matrix(self, states: Floats, count: int) -> Floats:
        columns = self._settings.optimizer.state_floats(self._dim)
        return float_matrix(states, "states", rows=count, columns=columns, packed=True)


def _shorten(array: NDArray[Any], count: int) -> NDArray[Any]:
    # A copy where most would stay unused: a view keeps the whole allocation alive.
    return array[:count] if 2 * count >= array.shape[0] else array[:count].copy()
