"""Random sequences of operations: the table and the reference hold the same, always."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Constant,
    CountAdmission,
    HashTable,
    ProbabilisticAdmission,
    SketchAdmission,
    TableFullError,
    Uniform,
    VersionError,
)
from tests.kernels.conftest import Table, ints
from tests.kernels.every_optimizer import ALL
from tests.reference import ReferenceTable

DIM = 3
MAX_ROWS = 24  # fewer than the keys there are

# Few keys, so that operations meet; the extremes among them.
keys_list = st.lists(
    st.integers(-12, 25) | st.sampled_from([-(2**63), 2**63 - 1]), max_size=30
).map(lambda keys: ints(*keys))


ADMISSIONS = [
    None,
    CountAdmission(threshold=1),
    CountAdmission(threshold=3),
    SketchAdmission(threshold=4, width=16, depth=2, seed=1),
    SketchAdmission(threshold=2, width=1000, depth=3),
    ProbabilisticAdmission(threshold=3),
    ProbabilisticAdmission(threshold=4, equal=False, seed=5),
]


def contents(table: Table) -> dict[int, list[Any]]:
    """Key -> all that its row holds."""
    rows = table.export()
    columns = (rows.values, rows.states, rows.frequency, rows.last_step)
    return {int(key): [column[i].tolist() for column in columns] for i, key in enumerate(rows.keys)}


class TableMachine(RuleBasedStateMachine):
    """Every rule does the same to both tables; results and contents must agree."""

    make_table: Callable[..., HashTable] = staticmethod(HashTable)

    @initialize(
        optimizer=st.sampled_from(list(ALL.values())),
        initializer=st.sampled_from([Uniform(), Constant(value=1.5), Uniform(low=0.0, high=8.0)]),
        seed=st.integers(0, 2**64 - 1),
        hash_bits=st.sampled_from([0, 1, 2, 4, 64]),
        on_full=st.sampled_from(["error", "evict"]),
        eviction_policy=st.sampled_from(["frequency", "recency"]),
        eviction_log=st.sampled_from([0, 1, 7, 2**20]),
        admission=st.sampled_from(ADMISSIONS),
        row_type=st.sampled_from(["float32", "bfloat16", "float16"]),
        threads=st.sampled_from([1, 2, 7]),
    )
    def start(
        self,
        optimizer: Any,
        initializer: Any,
        seed: int,
        hash_bits: int,
        threads: int,
        **policy: Any,
    ) -> None:
        self.settings = {
            "optimizer": optimizer,
            "initializer": initializer,
            "seed": seed,
            "max_rows": MAX_ROWS,
            **policy,
        }
        self.threads: dict[str, Any] = {"threads": threads, "_grain": 2}  # parts of two keys
        self.table = self.make_table(DIM, _hash_bits=hash_bits, **self.threads, **self.settings)
        self.reference = ReferenceTable(DIM, **self.settings)
        self.step = 0
        self.closed = 0

    def both(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of both and compare what they return or that they are full."""
        results = []
        for table in (self.table, self.reference):
            try:
                results.append(getattr(table, method)(*arguments, **named))
            except TableFullError:
                results.append("full")
        assert_array_equal(results[0], results[1])
        return results[0]

    def matrix(self, rows: int) -> np.ndarray:
        """Small whole numbers, different in every call."""
        return np.random.default_rng(self.step).integers(-3, 4, (rows, DIM)).astype(np.float32)

    @rule(keys=keys_list)
    def insert(self, keys: np.ndarray) -> None:
        self.both("find_or_insert", keys)

    @rule(keys=keys_list)
    def find(self, keys: np.ndarray) -> None:
        rows = self.both("find", keys)
        self.both("gather", rows)
        self.both("gather", rows, default=np.arange(DIM, dtype=np.float32))
        self.both("lookup", keys)
        self.both("lookup", keys, missing="zeros")

    @rule(keys=keys_list, missing=st.sampled_from(["initial", "zeros"]))
    def add(self, keys: np.ndarray, missing: str) -> None:
        self.step += 1
        self.both("add", keys, self.matrix(len(keys)), missing=missing)

    @rule(keys=keys_list)
    def assign(self, keys: np.ndarray) -> None:
        self.step += 1
        self.both("assign", keys, self.matrix(len(keys)))

    @rule(keys=keys_list)
    def erase(self, keys: np.ndarray) -> None:
        self.both("erase", keys)

    @rule(keys=keys_list, insert=st.booleans())
    def train(self, keys: np.ndarray, insert: bool) -> None:
        self.step += 1
        rows = self.both("find_or_insert" if insert else "find", keys)
        if isinstance(rows, str):
            return
        self.both("apply_gradients", rows, self.matrix(len(keys)), step=self.step)

    @rule(
        num_reserved=st.integers(0, MAX_ROWS),
        trigger=st.none() | st.integers(0, MAX_ROWS),
        policy=st.sampled_from(["frequency", "recency"]),
    )
    def restrict(self, num_reserved: int, trigger: int | None, policy: str) -> None:
        self.both("restrict", num_reserved, trigger, policy)

    @rule(age=st.integers(0, 8))
    def expire(self, age: int) -> None:
        self.both("expire", older_than=age)
        self.both("expire", before_step=max(0, self.step - age - 2))

    @rule(factor=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    def decay(self, factor: float) -> None:
        self.both("decay_frequency", factor)

    @rule()
    def shrink(self) -> None:
        self.both("shrink")

    @rule(cut=st.integers(0, MAX_ROWS), hash_bits=st.sampled_from([1, 64]))
    def export_and_import(self, cut: int, hash_bits: int) -> None:
        """Move both to new tables, in two ranges; row numbers become dense."""
        new = self.make_table(DIM, _hash_bits=hash_bits, **self.threads, **self.settings)
        new_reference = ReferenceTable(DIM, **self.settings)
        for source, target in ((self.table, new), (self.reference, new_reference)):
            target.import_(source.export(0, cut))
            target.import_(source.export(min(cut, source.row_limit)))
            target.import_policy_state(source.export_policy_state())
        self.table, self.reference, self.closed = new, new_reference, 0

    @rule(extra=st.integers(0, 50))
    def reserve(self, extra: int) -> None:
        self.both("reserve", self.table.size + extra)

    @rule()
    def delta(self) -> None:
        """What changed since the last delta, key by key."""
        ours = self.table.export(since=self.closed)
        theirs = self.reference.export(since=self.closed)
        assert_array_equal(ours.keys, theirs.keys)
        assert_array_equal(ours.values, theirs.values)
        try:
            changes = self.table.changed_since(self.closed)
        except VersionError:  # the bounded log lost some; the reference must say so too
            with pytest.raises(VersionError):
                self.reference.changed_since(self.closed)
        else:
            expected = self.reference.changed_since(self.closed)
            assert_array_equal(changes.updated, expected.updated)
            assert_array_equal(changes.evicted, expected.evicted)
            assert_array_equal(changes.updated, ours.keys)
        self.closed = self.both("advance_version")

    @rule()
    def clear(self) -> None:
        self.both("clear")

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "table"):
            return
        self.table.check()
        self.reference.check()
        assert contents(self.table) == contents(self.reference)
        assert self.table.size == self.reference.size
        assert self.table.row_limit == self.reference.row_limit
        self.both("keys")
        stats, reference = self.table.stats(), self.reference
        assert (stats.evicted, stats.erased) == (reference.evicted, reference.erased)
        assert stats.rejected == reference.rejected
        assert sum(stats.probe_lengths) == stats.size == reference.size
        assert stats.free_rows == reference.row_limit - reference.size
        ours, theirs = (vars(t.export_policy_state()) for t in (self.table, self.reference))
        for name, value in theirs.items():
            assert_array_equal(ours[name], value, err_msg=name, strict=True)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
