"""A table in training: keys to rows, rows to vectors, gradients to rows."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emberline.errors import nearest
from emberline.kernels import _cpu
from emberline.kernels.arrays import (
    float_matrix,
    float_vector,
    integer_vector,
    key_vector,
    output_matrix,
)
from emberline.kernels.errors import ConfigError
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.table_feature import COMBINERS, require_max_length
from emberline.kernels.table_settings import TableSettings, require_integer

__all__ = ["TableRows"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class TableRows:
    """The part of `HashTable` that looks up and trains; see there."""

    _table: _cpu.Table | HostTable
    _settings: TableSettings
    _dim: int

    def find(self, keys: ArrayLike) -> Integers:
        """Look rows up; never inserts.

        Args:
            keys: int64 [n], duplicates allowed.

        Returns:
            int64 [n], -1 where the key is absent.
        """
        keys = key_vector(keys)
        rows = np.empty(keys.shape[0], np.int64)
        self._table.find(keys, rows)
        return rows

    def find_or_insert(self, keys: ArrayLike) -> Integers:
        """Look rows up and insert the absent keys.

        A new row starts as `initializer` of (seed, key), its states at the optimizer's initial
        value, its frequency and last step at 0.

        Args:
            keys: int64 [n], duplicates allowed.

        Returns:
            int64 [n]; equal keys get equal rows; -1 for an absent key that `admission` refuses.

        Raises:
            TableFullError: beyond `max_rows` or out of memory, before any change.
        """
        keys = key_vector(keys)
        rows = np.empty(keys.shape[0], np.int64)
        self._table.find_or_insert(keys, rows)
        return rows

    def lookup(
        self,
        keys: ArrayLike,
        *,
        missing: Literal["initial", "zeros"] = "initial",
        out: Floats | None = None,
    ) -> Floats:
        """Give the weights of keys; never inserts.

        Args:
            keys: int64 [n], duplicates allowed.
            missing: what an absent key gives: the weights it would start with, or zeros.
            out: where to write, float32 [n, dim]; its rows may lie apart.

        Returns:
            float32 [n, dim], `out` where given.
        """
        if missing not in ("initial", "zeros"):
            raise ConfigError(f"missing is {missing!r}; expected 'initial' or 'zeros'")
        keys = key_vector(keys)
        out = output_matrix(out, rows=keys.shape[0], columns=self._dim)
        self._table.lookup(keys, missing == "initial", out)
        return out

    def gather(
        self, rows: ArrayLike, out: Floats | None = None, *, default: Floats | None = None
    ) -> Floats:
        """Give the weights of rows.

        Args:
            rows: int64 [n] as `find` gave them; -1 gives `default`.
            out: where to write, float32 [n, dim]; its rows may lie apart, so that features can be
                written side by side into one wider array.
            default: float32 [dim], what row -1 gives; None is zeros.

        Returns:
            float32 [n, dim], `out` where given.

        Raises:
            RowIndexError: a row that no live key has, naming its position.
        """
        rows = integer_vector(rows, "rows", dtype=np.int64)
        out = output_matrix(out, rows=rows.shape[0], columns=self._dim)
        self._table.gather(rows, self._default_vector(default), out)
        return out

    def gather_pooled(
        self,
        rows: ArrayLike,
        offsets: ArrayLike,
        *,
        combiner: str = "sum",
        max_length: int | None = None,
        weights: Floats | None = None,
        default: Floats | None = None,
        out: Floats | None = None,
    ) -> Floats:
        """Combine the weights of each segment of rows, in order of position.

        Args:
            rows: int64 [n]; -1 adds `default`, and counts in "mean" and "sqrtn".
            offsets: int64 [segments + 1], from 0 to n, never falling; segment s is
                `rows[offsets[s]:offsets[s + 1]]`. An empty one gives zeros.
            combiner: "sum"; "mean", divided by the sum of the weights; or "sqrtn", divided by the
                root of the sum of their squares. Where that is zero the result is zeros.
            max_length: at least 1; only the first so many positions of a segment count, the
                others are ignored, also in what is divided by. None is all.
            weights: float32 [n], a factor for each position; None is all ones.
            default: float32 [dim], what row -1 adds; None is zeros.
            out: where to write, float32 [segments, dim]; its rows may lie apart.

        Returns:
            float32 [segments, dim], `out` where given.

        Raises:
            RowIndexError: a row that no live key has, naming its position.
            ArrayShapeError: offsets that are no partition of rows, naming the index.

        >>> from emberline.kernels import HashTable
        >>> table = HashTable(1)
        >>> table.assign([1, 2, 3], np.array([[1], [10], [100]], np.float32))
        >>> table.gather_pooled(table.find([1, 2, 3, 3]), [0, 3, 4], combiner="mean", max_length=2)
        array([[  5.5],
               [100. ]], dtype=float32)
        """
        if combiner not in COMBINERS:
            raise ConfigError(f"unknown combiner {combiner!r}{nearest(str(combiner), COMBINERS)}")
        rows = integer_vector(rows, "rows", dtype=np.int64)
        offsets = integer_vector(offsets, "offsets", dtype=np.int64)
        if offsets.shape[0] == 0:
            offsets = np.full(1, -1, np.int64)  # refused below, with the same words as others
        require_max_length(f"table {self._settings.name!r}", max_length)
        if weights is not None:
            weights = float_vector(weights, "weights", length=rows.shape[0])
        out = output_matrix(out, rows=offsets.shape[0] - 1, columns=self._dim)
        self._table.gather_pooled(
            rows,
            offsets,
            COMBINERS[combiner],
            None if max_length is None else int(max_length),
            weights,
            self._default_vector(default),
            out,
        )
        return out

    def apply_gradients(
        self,
        rows: ArrayLike,
        gradients: Floats,
        *,
        source: ArrayLike | None = None,
        scale: Floats | None = None,
        step: int = 0,
        learning_rate: float | None = None,
    ) -> None:
        """Update rows: equal rows' gradients are summed in order of position, then applied once.

        The gradient of position i is `gradients[source[i]] * scale[i]`. The frequency of a row
        grows by its occurrences and its last step becomes `step`. NaN and infinite gradients are
        not refused: they go into the weights as in any optimizer.

        Args:
            rows: int64 [n] as `find` gave them, duplicates allowed; -1 is ignored.
            gradients: float32 [m, dim]; its rows may lie apart.
            source: int64 [n], rows of `gradients`; None is 0 .. n - 1, and then m must be n.
            scale: float32 [n]; None is all ones.
            step: 0 to 2^32 - 1.
            learning_rate: in place of the optimizer's, for a schedule.

        Raises:
            RowIndexError: a row that no live key has, or a source outside of `gradients`; before
                any change.
        """
        rows = integer_vector(rows, "rows", dtype=np.int64)
        count = rows.shape[0]
        gradients = float_matrix(
            gradients, "gradients", rows=count if source is None else None, columns=self._dim
        )
        if source is not None:
            source = integer_vector(source, "source", dtype=np.int64, length=count)
        if scale is not None:
            scale = float_vector(scale, "scale", length=count)
        require_integer(self._settings.name, "step", step, 0, 2**32 - 1)
        rate = (
            self._settings.optimizer.learning_rate
            if learning_rate is None
            else float(learning_rate)
        )
        if not (math.isfinite(rate) and rate >= 0):
            raise ConfigError(
                f"table {self._settings.name!r}: learning_rate is {learning_rate}; "
                "expected a finite number, at least 0"
            )
        self._settings.optimizer.check_learning_rate(rate)
        self._table.apply_gradients(rows, gradients, source, scale, int(step), rate)

    def _default_vector(self, default: Floats | None) -> Floats | None:
        return None if default is None else float_vector(default, "default", length=self._dim)
