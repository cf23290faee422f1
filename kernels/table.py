"""The embedding hash table: any int64 key -> a row of weights and optimizer states."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, cast

from emberline.errors import nearest
from emberline.kernels import _cpu
from emberline.kernels.admission import Admission
from emberline.kernels.errors import DeviceError, TableCorruptError
from emberline.kernels.gpu.cupy_launcher import open_gpu
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.initializers import Initializer, Uniform
from emberline.kernels.memory_usage import MemoryUsage
from emberline.kernels.optimizers import SGD, Optimizer
from emberline.kernels.table_contents import TableContents
from emberline.kernels.table_policies import TablePolicies
from emberline.kernels.table_rows import TableRows
from emberline.kernels.table_settings import (
    EVICTION_POLICIES,
    MAX_ROWS,
    ROW_TYPES,
    TableSettings,
    require_integer,
)

__all__ = ["HashTable"]

_SGD = SGD(learning_rate=0.01)  # immutable, so that sharing the default is safe
_UNIFORM = Uniform(low=-0.05, high=0.05)
MAX_THREADS = 256


class HashTable(TableRows, TableContents, TablePolicies):
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
