"""Which new keys get a row: exact counts, a sketch, chance; and what the others give."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Admission,
    ConfigError,
    Constant,
    CountAdmission,
    HashTable,
    PolicyState,
    ProbabilisticAdmission,
    SketchAdmission,
    TableFullError,
    admission_from_dict,
)
from tests.kernels.conftest import MakeTable, floats, ints

RULES: list[Admission] = [
    CountAdmission(threshold=3),
    SketchAdmission(threshold=3, width=1 << 12, depth=3, seed=2**64 - 1),
    ProbabilisticAdmission(threshold=3, seed=7),
    ProbabilisticAdmission(threshold=3, equal=False),
]


def test_the_nth_occurrence_comes_in(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=3))
    assert_array_equal(table.find_or_insert(ints(5, 6, 5)), ints(-1, -1, -1))
    assert_array_equal(table.find(ints(5)), ints(-1))  # a look-up is no occurrence
    table.lookup(ints(5, 5, 5))
    assert_array_equal(table.find_or_insert(ints(6, 5, 6, 7)), ints(0, 1, 0, -1))
    assert_array_equal(table.find_or_insert(ints(7, 8, 8, 8, 7)), ints(2, 3, 3, 3, 2))
    assert table.export_policy_state().candidate_keys.size == 0
    table.check()


def test_a_threshold_of_one_lets_all_in(make_table: MakeTable) -> None:
    for rule in (CountAdmission(threshold=1), SketchAdmission(threshold=1, width=1, depth=1)):
        table = make_table(admission=rule)
        assert_array_equal(table.find_or_insert(ints(5, 6, 5)), ints(0, 1, 0))
    table = make_table(admission=ProbabilisticAdmission(threshold=1, equal=False))
    assert_array_equal(table.find_or_insert(ints(5, 6, 5)), ints(0, 1, 0))


def test_refused_keys_give_the_default_and_train_nothing(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=2), initializer=Constant(value=1.0))
    rows = table.find_or_insert(ints(1, 2, 1, 3))
    assert_array_equal(rows, ints(0, -1, 0, -1))
    default = floats(7, 8, 9)
    assert_array_equal(table.gather(rows)[1], floats(0, 0, 0))
    assert_array_equal(table.gather(rows, default=default)[[1, 3]], floats([7, 8, 9], [7, 8, 9]))
    pooled = table.gather_pooled(rows, ints(0, 3, 4), weights=floats(1, 2, 3, 0.5), default=default)
    assert_array_equal(pooled, floats([18, 20, 22], [3.5, 4, 4.5]))
    mean = table.gather_pooled(rows, ints(0, 2, 4), combiner="mean", default=default)
    assert_array_equal(mean, floats([4, 4.5, 5], [4, 4.5, 5]))
    table.apply_gradients(rows, np.ones((4, 3), np.float32), learning_rate=1.0)
    assert_array_equal(table.export().values, floats([-1, -1, -1]))
    assert_array_equal(table.export().frequency, [2])


def test_a_key_that_left_is_counted_anew(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=2))
    table.find_or_insert(ints(1, 1, 2))
    table.erase(ints(1))
    assert_array_equal(table.find_or_insert(ints(1)), ints(-1))
    assert_array_equal(table.find_or_insert(ints(1, 2)), ints(0, 1))


def test_keys_that_are_assigned_come_in_and_are_no_candidates(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=3))
    table.find_or_insert(ints(1, 1, 2))
    table.assign(ints(1), np.ones((1, 3), np.float32))
    assert_array_equal(table.export_policy_state().candidate_keys, ints(2))
    table.erase(ints(1))
    assert_array_equal(table.find_or_insert(ints(1, 1)), ints(-1, -1))
    table.check()


def test_counts_decay_and_candidates_at_zero_go(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=6))
    table.find_or_insert(ints(1, 2, 2, 3, 3, 3, 3, 3))
    table.decay_frequency(0.5)
    state = table.export_policy_state()
    assert_array_equal(state.candidate_keys, ints(2, 3))
    assert_array_equal(state.candidate_counts, [1, 2])
    assert_array_equal(table.find_or_insert(ints(3, 3, 3)), ints(-1, -1, -1))
    assert_array_equal(table.find_or_insert(ints(3)), ints(0))
    table.check()


def test_clear_forgets_candidates(make_table: MakeTable) -> None:
    for rule in RULES[:2]:
        table = make_table(admission=rule)
        table.find_or_insert(ints(1, 1))
        table.clear()
        assert_array_equal(table.find_or_insert(ints(1)), ints(-1))
        assert table.export_policy_state().admission_step == 1


def test_a_full_table_still_counts_and_a_refused_batch_does_not(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=2), max_rows=1)
    table.find_or_insert(ints(1, 1))
    assert_array_equal(table.find_or_insert(ints(1, 2)), ints(0, -1))
    before = table.export_policy_state()
    with pytest.raises(TableFullError):
        table.find_or_insert(ints(3, 2, 4))
    after = table.export_policy_state()
    assert_array_equal(after.candidate_keys, before.candidate_keys)
    assert_array_equal(after.candidate_counts, before.candidate_counts)
    assert after.admission_step == before.admission_step


def test_only_admitted_keys_evict(make_table: MakeTable) -> None:
    table = make_table(admission=CountAdmission(threshold=2), max_rows=2, on_full="evict")
    table.find_or_insert(ints(1, 1, 2, 2))
    assert_array_equal(table.find_or_insert(ints(3, 4, 5)), ints(-1, -1, -1))
    assert_array_equal(table.find_or_insert(ints(3)), ints(1))  # the larger key goes
    assert_array_equal(table.keys(), ints(1, 3))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_save_and_load_continues(make_table: MakeTable, rule: Admission) -> None:
    """Rows and policy state make a copy that admits the same keys from then on."""
    rng = np.random.default_rng(1)
    batches = [rng.zipf(1.3, 40) % 300 for _ in range(20)]
    table = make_table(admission=rule)
    for batch in batches[:10]:
        table.find_or_insert(batch)
    copy = make_table(admission=rule)
    copy.import_(table.export())
    copy.import_policy_state(table.export_policy_state())
    for batch in batches[10:]:
        assert_array_equal(copy.find_or_insert(batch), table.find_or_insert(batch))
    assert 0 < table.size < len(np.unique(np.concatenate(batches)))
    copy.check()


def test_many_candidates_are_counted_exactly() -> None:
    """Against a Counter, with removals in between that close gaps of the probe sequences."""
    rng = np.random.default_rng(2)
    table = HashTable(1, admission=CountAdmission(threshold=9), _hash_bits=9)
    counts, admitted = Counter[int](), set[int]()
    for _ in range(60):
        keys = rng.integers(0, 900, 300)
        for key in keys.tolist():
            counts[key] += key not in admitted
        admitted |= {key for key, count in counts.items() if count >= 9}
        rows = table.find_or_insert(keys)
        assert_array_equal(rows >= 0, [key in admitted for key in keys.tolist()])
    waiting = {key: count for key, count in counts.items() if key not in admitted}
    state = table.export_policy_state()
    assert dict(zip(state.candidate_keys, state.candidate_counts, strict=True)) == waiting
    assert len(admitted) > 100
    table.check()


def test_a_sketch_never_keeps_a_key_waiting() -> None:
    """It may let keys in early, few where the sketch is large enough; its size is fixed."""
    rng = np.random.default_rng(3)
    rule = SketchAdmission(threshold=4, width=4096, depth=4)
    sketch = HashTable(1, admission=rule)
    exact = HashTable(1, admission=CountAdmission(threshold=4))
    usage = sketch.memory_usage().admission
    assert usage == 4096 * 4
    for _ in range(30):
        keys = rng.zipf(1.1, 500) % 20_000
        exact_rows, sketch_rows = exact.find_or_insert(keys), sketch.find_or_insert(keys)
        assert (sketch_rows[exact_rows >= 0] >= 0).all()
    early = sketch.size - exact.size
    assert 0 <= early < 0.05 * exact.size
    assert sketch.memory_usage().admission == usage
    sketch.check()


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("occurrences", [1, 3])
def test_probabilities(equal: bool, occurrences: int) -> None:
    """20,000 draws: four standard deviations are below 0.015."""
    rule = ProbabilisticAdmission(threshold=4, equal=equal, seed=9)
    table = HashTable(1, admission=rule)
    rows = table.find_or_insert(np.repeat(np.arange(20_000), occurrences))
    expected = 1 - 0.05 ** (occurrences / 4) if equal else occurrences / 4
    assert abs((rows >= 0).mean() - expected) < 0.015


def test_most_keys_are_in_after_threshold_occurrences() -> None:
    table = HashTable(1, admission=ProbabilisticAdmission(threshold=5))
    keys = np.arange(20_000)
    for _ in range(5):
        table.find_or_insert(keys)
    assert abs(table.size / 20_000 - 0.95) < 0.008


def test_draws_depend_on_seed_and_batch() -> None:
    keys = np.arange(1000)
    first, same, other = (
        HashTable(1, admission=ProbabilisticAdmission(threshold=3, seed=seed)) for seed in (1, 1, 2)
    )
    rows = first.find_or_insert(keys)
    assert_array_equal(same.find_or_insert(keys), rows)
    assert (other.find_or_insert(keys) != rows).any()
    left = keys[rows < 0]
    again = first.find_or_insert(left)
    assert (again >= 0).any()
    assert (again < 0).any()


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rules_survive_dictionaries(rule: Admission) -> None:
    assert admission_from_dict(rule.to_dict()) == rule
    table = HashTable(2, admission=rule)
    assert HashTable.from_config(table.config()).admission == rule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CountAdmission(threshold=0), r"CountAdmission\(threshold=0\): expected an integ"),
        (lambda: CountAdmission(threshold=2**32), "1 to 4294967295"),
        (lambda: CountAdmission(threshold=True), "threshold=True"),
        (lambda: SketchAdmission(threshold=256), r"threshold=256\): expected an integer, 1 to 255"),
        (lambda: SketchAdmission(threshold=2, width=0), "width=0"),
        (lambda: SketchAdmission(threshold=2, depth=65), "depth=65"),
        (lambda: ProbabilisticAdmission(threshold=2, seed=-1), "seed=-1"),
        (lambda: ProbabilisticAdmission(threshold=2, equal=any_value(1)), "expected True or False"),
        (lambda: admission_from_dict({"name": "CountAdmision", "threshold": 1}), "did you mean"),
        (lambda: admission_from_dict({"name": "CountAdmission"}), "needs 'threshold'"),
        (lambda: HashTable(2, admission=any_value(3)), "admission is 3; expected None or a rule"),
    ],
)
def test_bad_rules(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def any_value(value: Any) -> Any:
    """Hide a wrong type from the static checker."""
    return value


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError, match="use CountAdmission, SketchAdmission or"):
        Admission(threshold=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate_keys": ints(1, 1)}, "a candidate twice or a count"),
        ({"candidate_counts": np.array([3, 1], np.uint32)}, "not from 1 to 2, below the threshold"),
        ({"candidate_counts": np.array([0, 1], np.uint32)}, "not from 1 to 2"),
        ({"sketch_cells": np.zeros(4, np.uint8)}, "2 candidates and 4 cells of a sketch, which do"),
        ({"newest_step": 2**32}, "newest_step is 4294967296"),
        ({"admission_step": -1}, "admission_step is -1"),
    ],
)
def test_bad_policy_states(change: dict[str, Any], message: str) -> None:
    table = HashTable(2, admission=CountAdmission(threshold=3), name="item")
    table.find_or_insert([5, 6, 6])
    good: dict[str, Any] = {
        "newest_step": 4,
        "admission_step": 3,
        "candidate_keys": ints(5, 9),
        "candidate_counts": np.array([1, 2], np.uint32),
        "sketch_cells": np.zeros(0, np.uint8),
    }
    with pytest.raises(ConfigError, match=message):
        table.import_policy_state(PolicyState(**{**good, **change}))
    assert_array_equal(table.export_policy_state().candidate_keys, ints(5, 6))
    table.import_policy_state(PolicyState(**good))
    assert_array_equal(table.find_or_insert([9, 5]), ints(0, -1))


def test_candidates_of_another_rule_are_refused() -> None:
    source = HashTable(2, admission=CountAdmission(threshold=3))
    source.find_or_insert([5])
    for rule in (None, ProbabilisticAdmission(threshold=3), RULES[1]):
        with pytest.raises(ConfigError, match="does not fit admission"):
            HashTable(2, admission=rule).import_policy_state(source.export_policy_state())
