"""The embedding hash table: any int64 key -> a row of weights and optimizer states."""

import math
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emberline.errors import nearest
from emberline.kernels import _cpu
from emberline.kernels.admission import Admission
from emberline.kernels.arrays import (
    float_matrix,
    float_vector,
    integer_vector,
    key_vector,
    output_matrix,
)
from emberline.kernels.errors import ConfigError, DeviceError, TableCorruptError
from emberline.kernels.gpu.cupy_launcher import open_gpu
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.initializers import Initializer, Uniform
from emberline.kernels.memory_usage import MemoryUsage
from emberline.kernels.optimizers import SGD, Optimizer
from emberline.kernels.table_feature import COMBINERS, require_max_length
from emberline.kernels.table_policies import TablePolicies
from emberline.kernels.table_range import TableRange
from emberline.kernels.table_settings import (
    EVICTION_POLICIES,
    MAX_ROWS,
    ROW_TYPES,
    TableSettings,
    require_integer,
)

__all__ = ["HashTable"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_SGD = SGD(learning_rate=0.01)  # immutable, so that sharing the default is safe
_UNIFORM = Uniform(low=-0.05, high=0.05)
MAX_THREADS = 256


class HashTable(TablePolicies):
    """Rows of `dim` weights and their optimizer's states, by int64 key; it grows.

    Vectors go in and out as float32, whatever `row_type` is, and optimizer states are kept as such.
    No key value is reserved. Row numbers are int64, stable until the key is erased, and given in
    the order of first occurrence (erased rows are reused first, the last erased one before
    others), so they do not depend on timing. Calls from several Python threads are safe: one runs
    at a time, without the GIL.

    Args:
        dim: weights per row, 1 to 65536.
        optimizer: how `apply_gradients` updates a row; `SGD(learning_rate=0.01)` if left out.
        initializer: how a new row starts; `Uniform(low=-0.05, high=0.05)` if left out.
        seed: 0 to 2^64 - 1, of the initializer.
        name: the table's name in messages and checkpoints.
        capacity: keys to reserve memory for; a hint, the table grows beyond it.
        max_rows: the most keys, at most 2^32 - 2.
        on_full: what an insertion beyond `max_rows` does: "error" raises `TableFullError`;
            "evict" first removes as many keys as are needed, exactly by `eviction_policy`, and
            never one that occurs in the call itself. A row number given by an earlier call may
            then be another key's: use rows before the next insertion.
        eviction_policy: "frequency" or "recency", as in `restrict`.
        eviction_log: how many removed keys are remembered for `changed_since`, 16 bytes each.
        admission: which absent keys `find_or_insert` lets in, for example
            `CountAdmission(threshold=3)`; None is all.
        row_type: how weights are kept: "float32", or in half the memory "bfloat16" (float32's
            range, 8 significant bits) or "float16" (11 bits, up to 65504). Reading is exact.
            `assign`, `import_` and new rows round to the nearest; `apply_gradients` computes in
            float32 and rounds up or down at random, right in the mean, so that steps below a
            half's resolution are not lost. The random bits are a function of (seed, key, step,
            the row's frequency, lane): a replay gives the same rows. A finite weight beyond the
            type's largest becomes that one; infinities and NaN stay.
        device: "cpu"; "gpu", which needs CuPy and a CUDA device; or "auto", which is "cpu".
        threads: of the CPU table, 1 to 256; "auto" is as many as this process may use. No result
            depends on it, and small batches stay on the calling thread.

    Raises:
        ConfigError: a setting out of range.
        DeviceError: "gpu" without CuPy or a device, naming what is missing, or an unknown device.
        TableFullError: no memory for `capacity`, or `capacity` above `max_rows`.

    Source: the index is in the manner of dynamicemb (a table of keys apart from stable rows) and
    folly F14 (tags compared in parallel); chunks and double hashing are our own choice.

    >>> from emberline.kernels import Constant, HashTable
    >>> table = HashTable(2, initializer=Constant(value=1.0), name="item")
    >>> table.find_or_insert([7, -3, 7])
    array([0, 1, 0])
    >>> table
    HashTable('item', dim=2, size=2, optimizer=SGD(learning_rate=0.01), device='cpu')
    """

    def __init__(
        self,
        dim: int,
        *,
        optimizer: Optimizer = _SGD,
        initializer: Initializer = _UNIFORM,
        seed: int = 0,
        name: str = "table",
        capacity: int = 0,
        max_rows: int = MAX_ROWS,
        on_full: Literal["error", "evict"] = "error",
        eviction_policy: Literal["frequency", "recency"] = "frequency",
        eviction_log: int = 2**20,
        admission: Admission | None = None,
        row_type: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str = "auto",
        threads: int | Literal["auto"] = "auto",
        _hash_bits: int = 64,
        _grain: int = 1024,
    ) -> None:
        self._settings = TableSettings(
            dim=dim,
            optimizer=optimizer,
            initializer=initializer,
            seed=seed,
            name=name,
            max_rows=max_rows,
            on_full=on_full,
            eviction_policy=eviction_policy,
            eviction_log=eviction_log,
            admission=admission,
            row_type=row_type,
        )
        self._device = _resolve_device(device, name)
        self._threads = _resolve_threads(threads, name)
        self._grain = _grain  # a thread's part has at least so many keys; small in tests
        self._dim = int(dim)
        self._table: _cpu.Table | HostTable = self._make_table(_hash_bits)
        self.reserve(capacity)

    def _make_table(self, hash_bits: int) -> _cpu.Table | HostTable:
        settings = self._settings
        optimizer, initializer = settings.optimizer, settings.initializer
        if self._device == "gpu":
            return HostTable(settings, open_gpu(settings.name), hash_bits=hash_bits)
        table = _cpu.Table(
            settings.name,
            self._dim,
            _cpu.OptimizerConfig(optimizer.kernel_code, *optimizer.kernel_settings()),
            initializer.kernel_code,
            initializer.kernel_offset,
            initializer.kernel_scale,
            int(settings.seed),
            int(settings.max_rows),
            hash_bits,  # below 64 only in tests: keeps that many bits, so that keys collide
            self._threads,
            self._grain,
            ROW_TYPES[settings.row_type],
        )
        policy = EVICTION_POLICIES[settings.eviction_policy]
        table.set_policy(settings.on_full == "evict", policy, int(settings.eviction_log))
        rule = settings.admission
        if rule is not None:
            table.set_admission(
                rule.kernel_code,
                rule.threshold,
                rule.kernel_width,
                rule.kernel_depth,
                rule.kernel_equal,
                rule.kernel_seed,
            )
        return table

    @property
    def dim(self) -> int:
        """Weights per row."""
        return self._dim

    @property
    def name(self) -> str:
        """The table's name in messages and checkpoints."""
        return self._settings.name

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer of `apply_gradients`."""
        return self._settings.optimizer

    @property
    def initializer(self) -> Initializer:
        """The initializer of new rows."""
        return self._settings.initializer

    @property
    def seed(self) -> int:
        """The initializer's seed."""
        return self._settings.seed

    @property
    def max_rows(self) -> int:
        """The most keys the table may hold."""
        return self._settings.max_rows

    @property
    def admission(self) -> Admission | None:
        """The rule that lets new keys in; None: all come in."""
        return self._settings.admission

    @property
    def row_type(self) -> str:
        """How weights are kept: "float32", "bfloat16" or "float16"."""
        return self._settings.row_type

    @property
    def device(self) -> str:
        """Where the rows are: "cpu" or "gpu"."""
        return self._device

    @property
    def native(self) -> _cpu.Table | HostTable:
        """What runs the methods, for those who call it with checked arrays: `TableGroup`."""
        return self._table

    @property
    def threads(self) -> int:
        """The most threads that a call uses."""
        return self._threads

    @property
    def size(self) -> int:
        """Keys in the table."""
        return self._table.size()

    @property
    def row_limit(self) -> int:
        """One past the highest row number used since the table was made or cleared."""
        return self._table.row_limit()

    def __len__(self) -> int:
        """Count the keys in the table."""
        return self.size

    def __repr__(self) -> str:
        """Name the table, its size and its device."""
        row_type = "" if self.row_type == "float32" else f"row_type={self.row_type!r}, "
        return (
            f"HashTable({self._settings.name!r}, dim={self._dim}, size={self.size}, {row_type}"
            f"optimizer={self._settings.optimizer}, device={self._device!r})"
        )

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
        limit = self.row_limit
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
        limit = self.row_limit
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

    def advance_version(self) -> int:
        """Close the current version: what is written from now on belongs to the next.

        Returns:
            The version closed; `export(since=it)` later gives the rows written after this call.
        """
        return self._table.advance_version()

    def memory_usage(self, n: int | None = None) -> MemoryUsage:
        """Count the bytes the table has reserved, or predict those for `n` keys.

        Args:
            n: keys. The prediction is exactly what a new table of these settings uses with
                `capacity=n`, also once `n` keys are in it, but for `scratch` (0, up to 60 bytes
                for each key of the largest batch), `log` and the candidates of `CountAdmission`
                (0). A table that grew in small steps uses up to an eighth more for rows.

        Raises:
            ConfigError: `n` is not a number of keys that the table can hold.
        """
        if n is not None:
            require_integer(self._settings.name, "n", n, 0, self._settings.max_rows)
        index, rows, metadata, scratch, log, admission = self._table.memory_usage(
            None if n is None else int(n)
        )
        return MemoryUsage(
            index=index, rows=rows, metadata=metadata, scratch=scratch, log=log, admission=admission
        )

    def check(self) -> None:
        """Verify that index, rows and free list agree; reads the whole table.

        Raises:
            TableCorruptError: naming the first broken invariant.
        """
        broken = self._table.check()
        if broken:
            raise TableCorruptError(f"table {self._settings.name!r} is corrupt: {broken}")

    def config(self) -> dict[str, Any]:
        """Give what makes an equal, empty table, as JSON can hold it."""
        return self._settings.to_dict()

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        capacity: int = 0,
        device: str = "auto",
        threads: int | Literal["auto"] = "auto",
    ) -> "HashTable":
        """Make an empty table from what `config` gave; only `dim` is required.

        Raises:
            ConfigError: an unknown or missing setting, or a bad value.
        """
        settings = TableSettings.from_dict(config)
        values = {f.name: getattr(settings, f.name) for f in fields(settings)}
        return cls(**values, capacity=capacity, device=device, threads=threads)

    def _default_vector(self, default: Floats | None) -> Floats | None:
        return None if default is None else float_vector(default, "default", length=self._dim)

    def _state_matrix(self, states: Floats, count: int) -> Floats:
        columns = self._settings.optimizer.state_floats(self._dim)
        return float_matrix(states, "states", rows=count, columns=columns, packed=True)


def _resolve_device(device: str, name: str) -> str:
    if device == "gpu":
        return "gpu"
    if device not in ("auto", "cpu"):
        known = ("auto", "cpu", "gpu")
        raise DeviceError(f"table {name!r}: unknown device {device!r}{nearest(str(device), known)}")
    return "cpu"


def _resolve_threads(threads: object, name: str) -> int:
    if threads == "auto":
        affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
        usable = len(affinity(0)) if affinity else os.cpu_count() or 1
        return min(usable, MAX_THREADS)
    require_integer(name, "threads", threads, 1, MAX_THREADS)
    return int(cast(int, threads))


def _shorten(array: NDArray[Any], count: int) -> NDArray[Any]:
    # A copy where most would stay unused: a view keeps the whole allocation alive.
    return array[:count] if 2 * count >= array.shape[0] else array[:count].copy()
