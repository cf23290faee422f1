"""The embedding hash table as a Python dict: slow, obvious, and what the kernels must equal.

It takes the settings objects of `emberline.kernels` and raises its errors, but computes all by
itself; float32 arithmetic is spelled out one operation at a time.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.admission import (
    Admission,
    CountAdmission,
    ProbabilisticAdmission,
    SketchAdmission,
)
from emberline.kernels.errors import RowIndexError, TableFullError, VersionError
from emberline.kernels.initializers import Initializer, Uniform
from emberline.kernels.optimizers import SGD, Optimizer
from emberline.kernels.policy_state import PolicyState
from emberline.kernels.table_changes import TableChanges
from emberline.kernels.table_range import TableRange
from tests import reference_optimizers, reference_rows
from tests.reference_hash import GOLDEN, MASK, mix64

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_SGD = SGD(learning_rate=0.01)
_UNIFORM = Uniform(low=-0.05, high=0.05)


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


def chance(rule: ProbabilisticAdmission, count: int) -> float:
    """Of a key with `count` occurrences in a batch to come in."""
    if rule.equal:
        return float(1 - 0.05 ** (count / rule.threshold))
    return count / rule.threshold


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
        on_full: str = "error",
        eviction_policy: str = "frequency",
        eviction_log: int = 2**20,
        admission: Admission | None = None,
        row_type: str = "float32",
        _hash_bits: int = 64,
    ) -> None:
        self.dim, self.optimizer, self.initializer = dim, optimizer, initializer
        self._on_full, self._policy, self._log_size = on_full, eviction_policy, eviction_log
        self._log: list[tuple[int, int]] = []
        self._log_begin = 0
        self._newest_step = 0
        self._admission = admission
        self.row_type = row_type
        self.evicted = self.erased = self.rejected = 0
        self._candidates: dict[int, int] = {}
        self._cells: dict[tuple[int, int], int] = {}  # (line, place) -> count
        self._admission_step = 0
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
        for key in self.keys():
            self._log_removal(int(key))
        self.erased += self.size
        self._row_of, self._rows, self._free = {}, [], []
        self._newest_step = 0
        self._candidates, self._cells, self._admission_step = {}, {}, 0

    def find(self, keys: Integers) -> Integers:
        return np.array([self._row_of.get(int(key), -1) for key in keys], np.int64)

    def find_or_insert(self, keys: Integers) -> Integers:
        return self._insert(keys, self._admission)

    def _insert(self, keys: Integers, rule: Admission | None) -> Integers:
        absent = Counter(int(key) for key in keys if int(key) not in self._row_of)
        refused = {} if rule is None else self._refused(rule, absent)
        new = [key for key in absent if key not in refused]
        excess = self.size + len(new) - self.max_rows
        if excess > 0:
            batch = {int(key) for key in keys}  # none of the refused ones is in the table
            others = [row for row in self._ranked(self._policy) if row.key not in batch]
            if self._on_full == "error" or excess > len(others):
                raise TableFullError(f"table {self.name!r} is full: max_rows is {self.max_rows}")
            self._evict([row.key for row in others[-excess:]])
        self._admission_step += rule is not None and len(absent) > 0
        self.rejected += sum(absent[key] for key in refused)
        for key, total in refused.items():
            if isinstance(rule, CountAdmission):
                self._candidates[key] = total
            elif isinstance(rule, SketchAdmission):
                for cell in self._cells_of(rule, key):
                    self._cells[cell] = max(self._cells.get(cell, 0), total)
        for key in new:
            self._candidates.pop(key, None)
            if self._free:
                number = self._free.pop()
            else:
                number = len(self._rows)
                self._rows.append(None)
            self._rows[number] = self._new_row(key)
            self._row_of[key] = number
        return self.find(keys)

    def _refused(self, rule: Admission, absent: dict[int, int]) -> dict[int, int]:
        """The keys that do not come in, with their occurrences so far."""
        if isinstance(rule, ProbabilisticAdmission):
            return {
                k: 0 for k, count in absent.items() if self._draw(rule, k) >= chance(rule, count)
            }
        totals = {}
        for key, count in absent.items():
            seen = self._candidates.get(key, 0)
            if isinstance(rule, SketchAdmission):
                seen = min(self._cells.get(cell, 0) for cell in self._cells_of(rule, key))
            totals[key] = seen + count
        return {key: total for key, total in totals.items() if total < rule.threshold}

    def _cells_of(self, rule: SketchAdmission, key: int) -> list[tuple[int, int]]:
        streams = [mix64(rule.seed + (line + 1) * GOLDEN) for line in range(rule.depth)]
        return [(i, mix64((key & MASK) ^ s) % rule.width) for i, s in enumerate(streams)]

    def _draw(self, rule: ProbabilisticAdmission, key: int) -> float:
        stream = mix64((key & MASK) ^ mix64(rule.seed + GOLDEN))
        return (mix64(stream + (self._admission_step + 1) * GOLDEN) >> 11) / 2**53

    def _new_row(self, key: int) -> Row:
        weights = self._initial_weights(key)
        states = reference_optimizers.initial_states(self.optimizer.to_dict(), self.dim)
        return Row(key, weights, states, version=self._version)

    def _initial_weights(self, key: int) -> Floats:
        weights = initial_weights(self.initializer, self.seed, key, self.dim)
        return reference_rows.nearest(self.row_type, weights)

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
                out[i] = self._initial_weights(key)
            else:
                out[i] = 0
        return out

    def gather(
        self, rows: Integers, out: Floats | None = None, *, default: Floats | None = None
    ) -> Floats:
        default = np.zeros(self.dim, np.float32) if default is None else default
        found = [default if r == -1 else self._row(int(r), i).weights for i, r in enumerate(rows)]
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
        max_length: int | None = None,
        weights: Floats | None = None,
        default: Floats | None = None,
        out: Floats | None = None,
    ) -> Floats:
        vectors = self.gather(rows, default=default)
        factors = np.ones(len(rows), np.float32) if weights is None else weights
        out = np.empty((len(offsets) - 1, self.dim), np.float32) if out is None else out
        for s in range(len(offsets) - 1):
            total, divisor = np.zeros(self.dim, np.float32), np.float32(0)
            for i in range(offsets[s], offsets[s + 1])[:max_length]:
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
            weights, row.states = reference_optimizers.update(
                settings, rate, gradient, row.weights, row.states
            )
            stream = reference_rows.rounding_stream(self.seed, row.key, step, row.frequency)
            row.weights = reference_rows.stochastic(self.row_type, weights, stream)
            row.frequency = min(row.frequency + count[number], 2**32 - 1)
            row.last_step, row.version = step, self._version
            self._newest_step = max(self._newest_step, step)

    def assign(self, keys: Integers, values: Floats, states: Floats | None = None) -> None:
        for i, number in enumerate(self._insert(keys, None)):
            row = self._row(int(number), i)
            row.weights = reference_rows.nearest(self.row_type, values[i])
            row.version = self._version
            if states is not None:
                row.states = states[i].copy()

    def add(self, keys: Integers, values: Floats, *, missing: str = "initial") -> None:
        absent = {int(key) for key in keys} - self._row_of.keys()
        for i, number in enumerate(self._insert(keys, None)):
            row = self._row(int(number), i)
            if missing == "zeros" and row.key in absent:
                row.weights = np.zeros(self.dim, np.float32)
                absent.remove(row.key)
            row.weights = reference_rows.nearest(self.row_type, row.weights + values[i])
            row.version = self._version

    def erase(self, keys: Integers) -> int:
        erased = 0
        for key in (int(key) for key in keys):
            if key in self._row_of:
                number = self._row_of.pop(key)
                self._rows[number] = None
                self._free.append(number)
                self._log_removal(key)
                erased += 1
        self.erased += erased
        return erased

    def _log_removal(self, key: int) -> None:
        self._log.append((key, self._version))
        while len(self._log) > self._log_size:
            self._log_begin = self._log.pop(0)[1]

    def _ranked(self, policy: str) -> list[Row]:
        """All rows, the best first; of equal ones the smaller key is better."""
        live = [row for row in self._rows if row is not None]
        if policy == "frequency":
            return sorted(live, key=lambda row: (-row.frequency, row.key))
        return sorted(live, key=lambda row: (-row.last_step, row.key))

    def _evict(self, keys: list[int]) -> int:
        """Logged in row order; the lowest row is reused first."""
        numbers = sorted(self._row_of.pop(key) for key in keys)
        for number in numbers:
            self._log_removal(self._row(number, 0).key)
            self._rows[number] = None
        self._free += reversed(numbers)
        self.evicted += len(keys)
        return len(keys)

    def restrict(
        self, num_reserved: int, trigger: int | None = None, policy: str = "frequency"
    ) -> int:
        if self.size <= (num_reserved if trigger is None else trigger):
            return 0
        return self._evict([row.key for row in self._ranked(policy)[num_reserved:]])

    def expire(self, *, before_step: int | None = None, older_than: int | None = None) -> int:
        if older_than is not None:
            before_step = self._newest_step - older_than
        assert before_step is not None
        live = [row for row in self._rows if row is not None]
        return self._evict([row.key for row in live if row.last_step < before_step])

    def decay_frequency(self, factor: float) -> None:
        for row in self._rows:
            if row is not None:
                row.frequency = math.floor(row.frequency * factor)
        counts = {key: math.floor(count * factor) for key, count in self._candidates.items()}
        self._candidates = {key: count for key, count in counts.items() if count > 0}
        self._cells = {cell: math.floor(count * factor) for cell, count in self._cells.items()}

    def shrink(self) -> None:
        holes = [n for n, row in enumerate(self._rows[: self.size]) if row is None]
        movers = [row for row in self._rows[self.size :] if row is not None]
        for number, row in zip(holes, movers, strict=True):
            self._rows[number] = row
            self._row_of[row.key] = number
        del self._rows[self.size :]
        self._free = []

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
            self._newest_step = max(self._newest_step, int(range.last_step[i]))

    def export_policy_state(self) -> PolicyState:
        keys, rule = sorted(self._candidates), self._admission
        cells = np.zeros((0, 0), np.uint8)
        if isinstance(rule, SketchAdmission):
            cells = np.zeros((rule.depth, rule.width), np.uint8)
            for cell, count in self._cells.items():
                cells[cell] = count
        return PolicyState(
            newest_step=self._newest_step,
            admission_step=self._admission_step,
            candidate_keys=np.array(keys, np.int64),
            candidate_counts=np.array([self._candidates[key] for key in keys], np.uint32),
            sketch_cells=cells.reshape(-1),
        )

    def import_policy_state(self, state: PolicyState) -> None:
        counts = zip(state.candidate_keys.tolist(), state.candidate_counts.tolist(), strict=True)
        self._candidates = {key: n for key, n in counts if key not in self._row_of}
        if isinstance(self._admission, SketchAdmission):
            lines = state.sketch_cells.reshape(self._admission.depth, -1)
            self._cells = {(int(i), int(j)): int(lines[i, j]) for i, j in np.argwhere(lines)}
        self._admission_step = state.admission_step
        self._newest_step = max(self._newest_step, state.newest_step)

    def advance_version(self) -> int:
        self._version += 1
        return self._version - 1

    @property
    def version(self) -> int:
        return self._version

    def changed_since(self, version: int) -> TableChanges:
        if not self._log_begin <= version < self._version:
            raise VersionError(f"table {self.name!r}: version {version}")
        removed = dict.fromkeys(key for key, at in self._log if at > version)
        evicted = [key for key in removed if key not in self._row_of]
        return TableChanges(self.export(since=version).keys, np.array(evicted, np.int64))

    def check(self) -> None:
        live = {row.key: number for number, row in enumerate(self._rows) if row is not None}
        assert live == self._row_of
        assert not self._candidates.keys() & self._row_of.keys()
        assert sorted(self._free) == [n for n, row in enumerate(self._rows) if row is None]
