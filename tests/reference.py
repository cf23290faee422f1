"""The embedding hash table as a Python dict: slow, obvious, and what the kernels must equal.

It takes the settings objects of `emberline.kernels` and raises its errors, but computes all by
itself; float32 arithmetic is spelled out one operation at a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.errors import RowIndexError, TableFullError
from emberline.kernels.initializers import Initializer, Uniform
from emberline.kernels.optimizers import SGD, Optimizer
from emberline.kernels.table_range import TableRange
from tests import reference_optimizers

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
_SGD = SGD(learning_rate=0.01)
_UNIFORM = Uniform(low=-0.05, high=0.05)


def mix64(x: int) -> int:
    """The finalizer of SplitMix64, on a 64-bit word."""
    x &= MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def fractions(seed: int, key: int, dim: int) -> list[int]:
    """The 24-bit integers of lanes 0 .. dim - 1 (rounded up to even): the counter's output."""
    stream = mix64((key & MASK) ^ mix64(seed + GOLDEN))
    found = []
    for pair in range((dim + 1) // 2):
        bits = mix64(stream + (pair + 1) * GOLDEN)
        found += [bits >> 40, (bits >> 8) & 0xFFFFFF]
    return found


def initial_weights(initializer: Initializer, seed: int, key: int, dim: int) -> Floats:
    """What a new row's weights are, from the initializer's specification."""
    settings = initializer.to_dict()
    drawn = np.array(fractions(seed, key, dim))
    if settings["name"] == "Constant":
        return np.full(dim, settings["value"], np.float32)
    if settings["name"] == "Uniform":
        low = np.float32(settings["low"])
        span = np.float32(settings["high"] - settings["low"])
        u = drawn.astype(np.float32) * np.float32(2**-24)
        return (low + span * u)[:dim]
    u1 = (drawn[0::2] + 1) / 2**24
    u2 = drawn[1::2] / 2**24
    radius = np.sqrt(-2 * np.log(u1))
    z = np.stack([radius * np.cos(2 * np.pi * u2), radius * np.sin(2 * np.pi * u2)], axis=1)
    mean, stddev = np.float32(settings["mean"]), np.float32(settings["stddev"])
    return (mean + stddev * z.reshape(-1).astype(np.float32))[:dim]


@dataclass
class Row:
    """One key's weights, optimizer states and metadata."""

    key: int
    weights: Floats
    states: Floats
    frequency: int = 0
    last_step: int = 0
    version: int = 1


class ReferenceTable:
    """`emberline.kernels.HashTable` without the hash table."""

    def __init__(
        self,
        dim: int,
        *,
        optimizer: Optimizer = _SGD,
        initializer: Initializer = _UNIFORM,
        seed: int = 0,
        name: str = "table",
        capacity: int = 0,
        max_rows: int = 2**32 - 2,
        _hash_bits: int = 64,
    ) -> None:
        self.dim, self.optimizer, self.initializer = dim, optimizer, initializer
        self.seed, self.name, self.max_rows = seed, name, max_rows
        self._row_of: dict[int, int] = {}
        self._rows: list[Row | None] = []
        self._free: list[int] = []
        self._version = 1
        self.reserve(capacity)

    @property
    def size(self) -> int:
        return len(self._row_of)

    @property
    def row_limit(self) -> int:
        return len(self._rows)

    def __len__(self) -> int:
        return self.size

    def reserve(self, n: int) -> None:
        if n > self.max_rows:
            raise TableFullError(f"table {self.name!r} is full: max_rows is {self.max_rows}")

    def clear(self) -> None:
        self._row_of, self._rows, self._free = {}, [], []

    def find(self, keys: Integers) -> Integers:
        return np.array([self._row_of.get(int(key), -1) for key in keys], np.int64)

    def find_or_insert(self, keys: Integers) -> Integers:
        new = dict.fromkeys(int(key) for key in keys if int(key) not in self._row_of)
        if self.size + len(new) > self.max_rows:
            raise TableFullError(f"table {self.name!r} is full: max_rows is {self.max_rows}")
        for key in new:
            if self._free:
                number = self._free.pop()
            else:
                number = len(self._rows)
                self._rows.append(None)
            self._rows[number] = self._new_row(key)
            self._row_of[key] = number
        return self.find(keys)

    def _new_row(self, key: int) -> Row:
        weights = initial_weights(self.initializer, self.seed, key, self.dim)
        states = reference_optimizers.initial_states(self.optimizer.to_dict(), self.dim)
        return Row(key, weights, states, version=self._version)

    def _row(self, number: int, position: int) -> Row:
        if not 0 <= number < len(self._rows):
            raise RowIndexError(f"rows[{position}] is {number}, not a row")
        row = self._rows[number]
        if row is None:
            raise RowIndexError(f"rows[{position}] is {number}, whose key was erased")
        return row

    def lookup(
        self, keys: Integers, *, missing: str = "initial", out: Floats | None = None
    ) -> Floats:
        out = np.empty((len(keys), self.dim), np.float32) if out is None else out
        for i, key in enumerate(int(key) for key in keys):
            if key in self._row_of:
                out[i] = self._row(self._row_of[key], i).weights
            elif missing == "initial":
                out[i] = initial_weights(self.initializer, self.seed, key, self.dim)
            else:
                out[i] = 0
        return out

    def gather(self, rows: Integers, out: Floats | None = None) -> Floats:
        found = [
            np.zeros(self.dim, np.float32) if r == -1 else self._row(int(r), i).weights
            for i, r in enumerate(rows)
        ]
        out = np.empty((len(rows), self.dim), np.float32) if out is None else out
        for i, weights in enumerate(found):
            out[i] = weights
        return out

    def gather_pooled(
        self,
        rows: Integers,
        offsets: Integers,
        *,
        combiner: str = "sum",
        weights: Floats | None = None,
        out: Floats | None = None,
    ) -> Floats:
        vectors = self.gather(rows)
        factors = np.ones(len(rows), np.float32) if weights is None else weights
        out = np.empty((len(offsets) - 1, self.dim), np.float32) if out is None else out
        for s in range(len(offsets) - 1):
            total, divisor = np.zeros(self.dim, np.float32), np.float32(0)
            for i in range(offsets[s], offsets[s + 1]):
                total = total + vectors[i] * factors[i]
                divisor = divisor + (factors[i] if combiner == "mean" else factors[i] * factors[i])
            if combiner == "sqrtn":
                divisor = np.sqrt(divisor)
            if combiner != "sum":
                total = total / divisor if divisor != 0 else np.zeros(self.dim, np.float32)
            out[s] = total
        return out

    def apply_gradients(
        self,
        rows: Integers,
        gradients: Floats,
        *,
        source: Integers | None = None,
        scale: Floats | None = None,
        step: int = 0,
        learning_rate: float | None = None,
    ) -> None:
        settings = self.optimizer.to_dict()
        rate = np.float32(settings["learning_rate"] if learning_rate is None else learning_rate)
        sums: dict[int, Floats] = {}
        count: dict[int, int] = {}
        for i, number in enumerate(int(row) for row in rows):
            if number == -1:
                continue
            self._row(number, i)
            at = i if source is None else int(source[i])
            if not 0 <= at < len(gradients):
                raise RowIndexError(f"source[{i}] is {at}, not a gradient")
            gradient = gradients[at] * np.float32(1 if scale is None else scale[i])
            sums[number] = sums[number] + gradient if number in sums else gradient
            count[number] = count.get(number, 0) + 1
        for number, gradient in sums.items():
            row = self._row(number, 0)
            row.weights, row.states = reference_optimizers.update(
                settings, rate, gradient, row.weights, row.states
            )
            row.frequency = min(row.frequency + count[number], 2**32 - 1)
            row.last_step, row.version = step, self._version

    def assign(self, keys: Integers, values: Floats, states: Floats | None = None) -> None:
        for i, number in enumerate(self.find_or_insert(keys)):
            row = self._row(int(number), i)
            row.weights, row.version = values[i].copy(), self._version
            if states is not None:
                row.states = states[i].copy()

    def erase(self, keys: Integers) -> int:
        erased = 0
        for key in (int(key) for key in keys):
            if key in self._row_of:
                number = self._row_of.pop(key)
                self._rows[number] = None
                self._free.append(number)
                erased += 1
        return erased

    def keys(self) -> Integers:
        return np.array([row.key for row in self._rows if row is not None], np.int64)

    def export(self, start: int = 0, stop: int | None = None, *, since: int = 0) -> TableRange:
        live = [row for row in self._rows[start:stop] if row is not None and row.version > since]
        width = self._new_row(0).states.shape[0]
        return TableRange(
            keys=np.array([row.key for row in live], np.int64),
            values=np.array([row.weights for row in live], np.float32).reshape(-1, self.dim),
            states=np.array([row.states for row in live], np.float32).reshape(len(live), width),
            frequency=np.array([row.frequency for row in live], np.uint32),
            last_step=np.array([row.last_step for row in live], np.uint32),
        )

    def import_(self, range: TableRange) -> None:
        self.assign(range.keys, range.values, range.states)
        for i, number in enumerate(self.find(range.keys)):
            row = self._row(int(number), i)
            row.frequency, row.last_step = int(range.frequency[i]), int(range.last_step[i])

    def advance_version(self) -> int:
        self._version += 1
        return self._version - 1

    def check(self) -> None:
        live = {row.key: number for number, row in enumerate(self._rows) if row is not None}
        assert live == self._row_of
        assert sorted(self._free) == [n for n, row in enumerate(self._rows) if row is None]
