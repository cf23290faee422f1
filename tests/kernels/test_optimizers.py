"""The optimizers: by hand, against the reference bit for bit, their states and their settings."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from emberline.kernels import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ConfigError,
    Constant,
    Ftrl,
    HashTable,
    Optimizer,
    RMSprop,
    RowwiseAdagrad,
    TableRange,
    optimizer_from_dict,
)
from emberline.kernels.optimizers.optimizer import KERNEL_SETTINGS
from tests.kernels.conftest import MakeTable, floats, ints
from tests.kernels.every_optimizer import ALL, EVERY_KIND
from tests.reference import ReferenceTable

ONE = Constant(value=1.0)


def train(make_table: MakeTable, optimizer: Optimizer, *steps: list[float]) -> tuple[Any, Any]:
    """Give the weights and states of one row that starts at ones."""
    table = make_table(dim=len(steps[0]), optimizer=optimizer, initializer=ONE)
    row = table.find_or_insert(ints(5))
    for gradient in steps:
        table.apply_gradients(row, floats(gradient))
    rows = table.export()
    return rows.values[0], rows.states[0]


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=12)
@given(
    dim=st.sampled_from([1, 2, 7, 31, 32, 33, 64, 100]),
    seed=st.integers(0, 2**32 - 1),
    largest=st.sampled_from([-18, -3, 0, 2, 18]),
)
def test_equals_the_reference_bit_for_bit(name: str, dim: int, seed: int, largest: int) -> None:
    """Some rows in each step, gradients up to where squares leave float32, and a save between."""
    rng = np.random.default_rng(seed)
    make: dict[str, Any] = {"optimizer": ALL[name], "seed": seed}
    tables: list[Any] = [HashTable(dim, **make), ReferenceTable(dim, **make)]
    for step in range(4):
        keys = rng.integers(0, 6, 9)
        gradients = rng.normal(size=(9, dim)) * 10.0 ** rng.uniform(largest - 2, largest)
        rate = 10 ** rng.uniform(-3, 0)
        for i, table in enumerate(tables):
            rows = table.find_or_insert(keys)
            with np.errstate(all="ignore"):
                table.apply_gradients(rows, gradients.astype(np.float32), learning_rate=rate)
            if step == 1:
                tables[i] = type(table)(dim, **make)
                tables[i].import_(table.export())
        ours, theirs = tables[0].export(), tables[1].export()
        for field, array in vars(ours).items():
            assert_array_equal(array, getattr(theirs, field), err_msg=field)


def test_momentum_by_hand(make_table: MakeTable) -> None:
    weights, states = train(make_table, SGD(learning_rate=0.5, momentum=0.5), [1, 2], [1, 0])
    assert_array_equal(states, floats(-0.75, -0.5))  # v = 0.5 v - 0.5 g
    assert_array_equal(weights, floats(1 - 0.5 - 0.75, 1 - 1 - 0.5))


def test_nesterov_by_hand(make_table: MakeTable) -> None:
    optimizer = SGD(learning_rate=0.5, momentum=0.5, nesterov=True)
    weights, states = train(make_table, optimizer, [1], [1])
    assert_array_equal(states, floats(-0.75))
    assert_array_equal(weights, floats(1 - (0.25 + 0.5) - (0.375 + 0.5)))


def test_rowwise_adagrad_by_hand(make_table: MakeTable) -> None:
    optimizer = RowwiseAdagrad(learning_rate=1.0, initial_accumulator_value=0.0, epsilon=1e-30)
    weights, states = train(make_table, optimizer, [2, 2, 2, 2], [1, 1, 5, 3])
    assert_array_equal(states, floats(4 + 9))
    assert_allclose(weights, 1 - 1 - floats(1, 1, 5, 3) / np.sqrt(13), rtol=1e-6)


def test_adam_by_hand(make_table: MakeTable) -> None:
    optimizer = Adam(learning_rate=0.5, beta_1=0.5, beta_2=0.75, epsilon=1e-30)
    weights, states = train(make_table, optimizer, [4], [0])
    assert_array_equal(states, floats(1, 3, 2))  # m 2 then 1, v 4 then 3, t
    first = 0.5 * np.sqrt(1 - 0.75) / (1 - 0.5) * 2 / np.sqrt(4)
    second = 0.5 * np.sqrt(1 - 0.5625) / (1 - 0.25) * 1 / np.sqrt(3)
    assert_allclose(weights, [1 - first - second], rtol=1e-6)


def test_ftrl_by_hand(make_table: MakeTable) -> None:
    optimizer = Ftrl(
        learning_rate=0.5,
        initial_accumulator_value=1.0,
        l1_regularization_strength=2.0,
        l2_regularization_strength=0.25,
        beta=1.0,
    )
    weights, states = train(make_table, optimizer, [0, -3])
    # n 1 and 10; linear g - (sqrt(n') - 1) / 0.5 * 1; |linear| <= 2 gives exactly 0.
    linear = -3 - (np.sqrt(10) - 1) / 0.5
    assert_allclose(states, [1, 10, 0, linear], rtol=1e-6)
    assert_array_equal(weights[0], 0)
    assert_allclose(weights[1], (-2 - linear) / (np.sqrt(10) / 0.5 + 2 * (0.25 + 1)), rtol=1e-6)


def test_rmsprop_by_hand(make_table: MakeTable) -> None:
    optimizer = RMSprop(learning_rate=1, rho=0.75, momentum=0.5, centered=True, epsilon=1e-30)
    weights, states = train(make_table, optimizer, [4], [0])
    # v 4 then 3; average 1 then 0.75; step 4 / sqrt(4 - 1), then half of it.
    step = 4 / np.sqrt(3)
    assert_allclose(states, [3, 0.75, step / 2], rtol=1e-6)
    assert_allclose(weights, [1 - 1.5 * step], rtol=1e-6)


def test_a_variance_that_rounds_below_zero_is_zero(make_table: MakeTable) -> None:
    """After many equal gradients v and the average's square differ by rounding alone."""
    optimizer = RMSprop(learning_rate=1e-9, rho=0.5, centered=True)
    gradient = np.linspace(1000, 2000, 64).tolist()
    weights, states = train(make_table, optimizer, *[gradient] * 100)
    velocity, average = states.reshape(2, 64)
    assert (velocity - average * average < -1e-3).any()  # its root would be NaN
    assert np.isfinite(weights).all()


def test_clipping_is_by_row(make_table: MakeTable) -> None:
    table = make_table(
        dim=2, optimizer=SGD(learning_rate=1.0, clip_norm=1.0), initializer=Constant(value=0.0)
    )
    rows = table.find_or_insert(ints(1, 2, 3))
    table.apply_gradients(rows, floats([3, 4], [0.6, 0.8], [0, 0]))
    assert_allclose(table.gather(rows), -floats([0.6, 0.8], [0.6, 0.8], [0, 0]), rtol=1e-7)
    # The norm is that of the sum: (3, 4) - (3, 3) has norm 1.
    table.apply_gradients(rows[[2, 2]], floats([3, 4], [-3, -3]))
    assert_array_equal(table.gather(rows[2:]), floats([0, -1]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_does_not_hide_a_broken_gradient(make_table: MakeTable, bad: float) -> None:
    optimizer = SGD(learning_rate=1.0, clip_norm=1.0)
    with np.errstate(invalid="ignore"):
        weights, _ = train(make_table, optimizer, [bad, 1])
    assert np.isnan(weights[0])


def test_weight_decay_by_hand(make_table: MakeTable) -> None:
    """Decoupled: the rate scales it, the moments do not see it; absent rows do not decay."""
    table = make_table(
        dim=1, optimizer=SGD(learning_rate=0.5, momentum=0.5, weight_decay=0.5), initializer=ONE
    )
    rows = table.find_or_insert(ints(1, 2))
    table.apply_gradients(rows[:1], floats([0]))
    assert_array_equal(table.gather(rows), floats([0.75], [1]))
    assert_array_equal(table.export().states, floats([0], [0]))
    table.apply_gradients(rows[:1], floats([0]), learning_rate=1.0)
    assert_array_equal(table.gather(rows), floats([0.375], [1]))


@pytest.mark.parametrize("optimizer", [Adam(learning_rate=0.1), AdamW(learning_rate=0.1)])
@pytest.mark.parametrize("late", [0, 1, 3, 1000])
def test_adams_first_step_has_its_length_whenever_it_comes(
    make_table: MakeTable, optimizer: Optimizer, late: int
) -> None:
    table = make_table(dim=1, optimizer=optimizer, initializer=Constant(value=0.0))
    rows = table.find_or_insert(ints(1, 2))
    for step in range(late):
        table.apply_gradients(rows[:1], floats([1]), step=step)
    table.apply_gradients(rows, floats([1], [-3]), step=late)
    assert_allclose(table.gather(rows[1:]), [[0.1]], rtol=1e-5)
    assert_array_equal(table.export().states[:, -1], [late + 1, 1])


@pytest.mark.parametrize("name", EVERY_KIND)
def test_states_stand_still_while_the_row_is_away(make_table: MakeTable, name: str) -> None:
    table = make_table(dim=3, optimizer=EVERY_KIND[name])
    rows = table.find_or_insert(ints(1, 2))
    table.apply_gradients(rows, floats([1, 2, 3], [4, 5, 6]))
    before = table.export()
    table.apply_gradients(rows[:1], floats([1, 2, 3]))
    after = table.export()
    assert_array_equal(after.states[1], before.states[1])
    assert_array_equal(after.values[1], before.values[1])
    assert (after.values[0] != before.values[0]).all()


def test_the_count_of_updates_stops_where_float32_ends(make_table: MakeTable) -> None:
    """Beyond 2^24 the corrections are 1; states from elsewhere, even broken ones, do no harm."""
    table = make_table(dim=1, optimizer=Adam(learning_rate=0.1), initializer=Constant(value=0.0))
    counts = [2**24 - 1, 2**24, 1e30, -7]
    states = floats(*([0.5, 0.25, count] for count in counts))
    zeros = np.zeros(4, np.uint32)
    weights = np.zeros((4, 1), np.float32)
    table.import_(TableRange(ints(1, 2, 3, 4), weights, states, zeros, zeros))
    rows = table.find(ints(1, 2, 3, 4))
    table.apply_gradients(rows, np.full((4, 1), 0.5, np.float32))
    after = table.export()
    assert_array_equal(after.states[:, 2], floats(2**24, 2**24, 1e30, -6))
    assert_allclose(after.values[:3], np.full((3, 1), -0.1 * 0.5 / 0.5), rtol=1e-6)
    assert np.isfinite(after.values[3])


@pytest.mark.parametrize("name", ALL)
def test_a_row_has_the_states_that_state_floats_says(name: str) -> None:
    optimizer = ALL[name]
    for dim in (1, 5, 64):
        table = HashTable(dim, optimizer=optimizer)
        table.find_or_insert([1])
        assert table.export().states.shape == (1, optimizer.state_floats(dim))
    per_row = optimizer.state_floats(2) - 2 * (
        optimizer.state_floats(2) - optimizer.state_floats(1)
    )
    assert per_row == optimizer.states_per_row


def test_every_kind_has_its_own_code() -> None:
    codes = [optimizer.kernel_code for optimizer in EVERY_KIND.values()]
    assert sorted(codes) == list(range(13))


@pytest.mark.parametrize("name", ALL)
def test_dictionaries_and_kernel_settings(name: str) -> None:
    optimizer = ALL[name]
    assert optimizer_from_dict(optimizer.to_dict()) == optimizer
    values = dict(zip(KERNEL_SETTINGS, optimizer.kernel_settings(), strict=True))
    assert values["learning_rate"] == optimizer.learning_rate
    assert values["clip_norm"] == (optimizer.clip_norm or 0)


def test_repr_shows_what_is_not_the_default() -> None:
    assert repr(Adam(amsgrad=True)) == "Adam(learning_rate=0.001, amsgrad=True)"
    assert repr(AdamW()) == "AdamW(learning_rate=0.001)"
    assert repr(SGD(clip_norm=2.0)) == "SGD(learning_rate=0.01, clip_norm=2.0)"


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (SGD, {"momentum": 1.5}, r"SGD\(momentum=1.5\): must be at most 1"),
        (SGD, {"momentum": -0.1}, "must be at least 0"),
        (SGD, {"nesterov": 1}, r"SGD\(nesterov=1\): expected True or False"),
        (SGD, {"clip_norm": 0.0}, r"SGD\(clip_norm=0.0\): must be above 0"),
        (SGD, {"weight_decay": -1.0}, r"SGD\(weight_decay=-1.0\): must be at least 0"),
        (Adagrad, {"weight_decay": "0"}, "expected a number, got str"),
        (RowwiseAdagrad, {"epsilon": 0.0}, r"RowwiseAdagrad\(epsilon=0.0\): must be above 0"),
        (Adam, {"beta_1": 1.0}, r"Adam\(beta_1=1.0\): must be below 1"),
        (Adam, {"beta_2": 1 - 1e-9}, "must be below 1"),
        (Adam, {"beta_2": -0.1}, "must be at least 0"),
        (Adam, {"epsilon": 0}, "must be above 0"),
        (Adam, {"amsgrad": "no"}, r"Adam\(amsgrad='no'\): expected True or False"),
        (AdamW, {"weight_decay": None}, "use Adam without decay"),
        (Ftrl, {"learning_rate": 0.0}, "Ftrl divides by learning_rate, which is 0"),
        (Ftrl, {"learning_rate_power": 0.5}, "must be at most 0"),
        (Ftrl, {"beta": -1}, r"Ftrl\(beta=-1\): must be at least 0"),
        (RMSprop, {"rho": 1}, r"RMSprop\(rho=1\): must be below 1"),
        (RMSprop, {"momentum": -1}, "must be at least 0"),
        (RMSprop, {"centered": None}, r"RMSprop\(centered=None\): expected True or False"),
    ],
)
def test_bad_settings(cls: type[Optimizer], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cls(**arguments)


def test_ftrl_refuses_a_rate_of_zero_before_any_change() -> None:
    table = HashTable(2, optimizer=Ftrl())
    rows = table.find_or_insert([1])
    before = table.export()
    with pytest.raises(ConfigError, match="Ftrl divides by learning_rate"):
        table.apply_gradients(rows, floats([1, 1]), learning_rate=0.0)
    for field, array in vars(table.export()).items():
        assert_array_equal(array, getattr(before, field))
