"""A GPU table called with device arrays: CuPy, PyTorch, JAX or TensorFlow through DLPack."""

import threading
from typing import Any

from emberline.errors import nearest
from emberline.kernels.errors import ArrayShapeError, ArrayTypeError, ConfigError
from emberline.kernels.gpu.device_table import DeviceTable
from emberline.kernels.gpu.launcher import DeviceArray, Launcher
from emberline.kernels.table_feature import COMBINERS, require_max_length

__all__ = ["DeviceCalls"]


class DeviceCalls:
    """The methods of `HashTable` that training needs, without copies to the host.

    Inputs are device arrays that speak DLPack, or DLPack capsules; outputs are CuPy arrays, which
    speak it too. All work is queued on the table's stream. Made by `HostTable.device_calls`.

    Args:
        table: the table's steps.
        launcher: of the device.
        lock: the table's; one call runs at a time.
    """

    def __init__(self, table: DeviceTable, launcher: Launcher, lock: threading.Lock) -> None:
        self._table = table
        self._launcher = launcher
        self._lock = lock

    def find(self, keys: Any) -> DeviceArray:
        """Give rows, int64 [n], -1 where the key is absent. `keys`: int64 [n], contiguous."""
        with self._lock:
            keys = self._vector(keys, "keys", "int64")
            return self._table.find(keys, keys.shape[0])

    def find_or_insert(self, keys: Any) -> DeviceArray:
        """Give rows, int64 [n]; absent keys get new ones, or -1 where admission refuses them.

        Raises:
            TableFullError: before any change.
        """
        with self._lock:
            keys = self._vector(keys, "keys", "int64")
            return self._table.find_or_insert(keys, keys.shape[0])

    def lookup(self, keys: Any, *, missing: str = "initial") -> DeviceArray:
        """Give the weights of keys, float32 [n, dim]; never inserts.

        Raises:
            ArrayShapeError: `missing` is neither "initial" nor "zeros".
        """
        if missing not in ("initial", "zeros"):
            raise ArrayShapeError(f"missing is {missing!r}; expected 'initial' or 'zeros'")
        with self._lock:
            keys = self._vector(keys, "keys", "int64")
            out, dim = self._output(keys.shape[0])
            self._table.lookup(keys, keys.shape[0], missing == "initial", out, dim)
            return out.reshape(-1, dim)

    def gather(self, rows: Any, *, default: Any = None) -> DeviceArray:
        """Give the weights of rows, float32 [n, dim]; -1 gives `default`, float32 [dim], or zeros.

        Raises:
            RowIndexError: a row that no live key has.
        """
        with self._lock:
            rows = self._vector(rows, "rows", "int64")
            out, dim = self._output(rows.shape[0])
            self._table.gather(rows, rows.shape[0], self._default(default), out, dim)
            return out.reshape(-1, dim)

    def gather_pooled(
        self,
        rows: Any,
        offsets: Any,
        *,
        combiner: str = "sum",
        max_length: int | None = None,
        weights: Any = None,
        default: Any = None,
    ) -> DeviceArray:
        """Combine the weights of each segment of rows, float32 [segments, dim].

        Args:
            rows: int64 [n]; -1 adds `default`, float32 [dim], or nothing.
            offsets: int64 [segments + 1], from 0 to n, never falling.
            combiner: "sum", "mean" or "sqrtn", as in `HashTable.gather_pooled`.
            max_length: as there.
            weights: float32 [n]; None is all ones.
            default: see `rows`.

        Raises:
            RowIndexError: a row that no live key has.
            ArrayShapeError: offsets that are no partition of rows, or arrays that do not fit.
            ConfigError: an unknown combiner.
        """
        if combiner not in COMBINERS:
            raise ConfigError(f"unknown combiner {combiner!r}{nearest(str(combiner), COMBINERS)}")
        require_max_length(f"table {self._table.storage.settings.name!r}", max_length)
        with self._lock:
            rows = self._vector(rows, "rows", "int64")
            offsets = self._vector(offsets, "offsets", "int64")
            if offsets.shape[0] == 0:
                raise ArrayShapeError("offsets is empty; expected [segments + 1], from 0")
            if weights is not None:
                weights = self._vector(weights, "weights", "float32", rows.shape[0])
            segments = offsets.shape[0] - 1
            out, dim = self._output(segments)
            self._table.gather_pooled(
                rows,
                rows.shape[0],
                offsets,
                segments,
                COMBINERS[combiner],
                None if max_length is None else int(max_length),
                weights,
                self._default(default),
                out,
                dim,
            )
            return out.reshape(-1, dim)

    def apply_gradients(
        self,
        rows: Any,
        gradients: Any,
        *,
        step: int = 0,
        learning_rate: float | None = None,
    ) -> None:
        """Update rows from gradients, float32 [n, dim], whose rows may lie apart.

        Raises:
            RowIndexError: a row that no live key has, before any change.
        """
        settings = self._table.storage.settings
        rate = settings.optimizer.learning_rate if learning_rate is None else learning_rate
        with self._lock:
            rows = self._vector(rows, "rows", "int64")
            gradients = self._launcher.adopt(gradients)
            count, dim = rows.shape[0], int(settings.dim)
            if gradients.dtype != "float32":
                raise ArrayTypeError(f"gradients has dtype {gradients.dtype}; expected float32")
            adjacent = gradients.ndim == 2 and (dim == 1 or gradients.strides[1] == 4)
            if gradients.shape != (count, dim) or (count and not adjacent):
                raise ArrayShapeError(
                    f"gradients has shape {list(gradients.shape)} and strides {gradients.strides} "
                    f"bytes; expected [{count}, {dim}] with columns 4 bytes apart"
                )
            stride = gradients.strides[0] // 4 if count > 1 else dim
            self._table.apply_gradients(
                rows, count, gradients, count, stride, None, None, int(step), float(rate)
            )

    def _vector(self, array: Any, name: str, dtype: str, length: int | None = None) -> DeviceArray:
        vector = self._launcher.adopt(array)
        if vector.dtype != dtype:
            raise ArrayTypeError(f"{name} has dtype {vector.dtype}; expected {dtype}")
        if vector.ndim != 1 or not vector.flags.c_contiguous or length not in (None, vector.size):
            expected = "" if length is None else f" of {length}"
            raise ArrayShapeError(
                f"{name} has shape {list(vector.shape)}; expected a contiguous vector{expected}"
            )
        return vector

    def _default(self, default: Any) -> DeviceArray | None:
        dim = int(self._table.storage.settings.dim)
        return None if default is None else self._vector(default, "default", "float32", dim)

    def _output(self, rows: int) -> tuple[DeviceArray, int]:
        dim = int(self._table.storage.settings.dim)
        return self._launcher.empty(rows * dim, "float32"), dim
