"""The tables' optimizers against Keras' own, on dense variables whose rows are touched in each step.

Exact wherever TensorFlow rounds each operation of Keras' rule correctly, which is everywhere but in
`pow` of a tensor and in the order of a norm's sum.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from emberline.kernels import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Ftrl,
    HashTable,
    Optimizer,
    RMSprop,
    RowwiseAdagrad,
)

Floats = npt.NDArray[np.float32]

# The arguments of both; nothing here takes `pow` of a tensor but to the powers 0 and 1.
EXACT: list[tuple[type[Optimizer], Any, dict[str, Any]]] = [
    (SGD, keras.optimizers.SGD, {}),
    (SGD, keras.optimizers.SGD, {"momentum": 0.9}),
    (SGD, keras.optimizers.SGD, {"momentum": 0.75, "nesterov": True}),
    (SGD, keras.optimizers.SGD, {"momentum": 0.9, "weight_decay": 0.3}),
    (Adagrad, keras.optimizers.Adagrad, {}),
    (Adagrad, keras.optimizers.Adagrad, {"initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    (Adagrad, keras.optimizers.Adagrad, {"weight_decay": 0.01}),
    (Adam, keras.optimizers.Adam, {}),
    (Adam, keras.optimizers.Adam, {"beta_1": 0.0, "beta_2": 0.5, "epsilon": 1e-2}),
    (Adam, keras.optimizers.Adam, {"amsgrad": True, "weight_decay": 0.1}),
    (AdamW, keras.optimizers.AdamW, {}),
    (AdamW, keras.optimizers.AdamW, {"weight_decay": 0.5, "amsgrad": True}),
    (RMSprop, keras.optimizers.RMSprop, {}),
    (RMSprop, keras.optimizers.RMSprop, {"rho": 0.5, "momentum": 0.7}),
    (RMSprop, keras.optimizers.RMSprop, {"centered": True, "epsilon": 1e-3}),
    (RMSprop, keras.optimizers.RMSprop, {"centered": True, "momentum": 0.2, "epsilon": 1e-3}),
    (
        Ftrl,
        keras.optimizers.Ftrl,
        {
            "learning_rate_power": -1.0,
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.03,
            "beta": 0.5,
        },
    ),
    (Ftrl, keras.optimizers.Ftrl, {"learning_rate_power": 0.0, "weight_decay": 0.1}),
]


def name_case(value: object) -> str | None:
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items()) or "defaults"
    return value.__name__ if isinstance(value, type) else None


def keras_step(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[Floats], variables: Any, rate: float
) -> None:
    optimizer.learning_rate = rate
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)


@pytest.mark.parametrize(("ours", "theirs", "arguments"), EXACT, ids=name_case)
@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(1, 40),
    count=st.integers(1, 6),
    steps=st.integers(1, 6),
    rates=st.lists(st.sampled_from([1e-3, 0.0625, 0.3, 1.0]), min_size=6, max_size=6),
)
def test_the_same_bits_as_keras(
    ours: type[Optimizer],
    theirs: Callable[..., Any],
    arguments: dict[str, Any],
    seed: int,
    dim: int,
    count: int,
    steps: int,
    rates: list[float],
) -> None:
    """Duplicate rows, a rate that changes in every step, gradients of all sizes."""
    rng = np.random.default_rng(seed)
    keys = np.arange(count) * 7 - 3
    table = HashTable(dim, optimizer=ours(**arguments), seed=seed)
    rows = table.find_or_insert(keys)
    variable = keras.Variable(table.lookup(keys))
    optimizer = theirs(**arguments)
    optimizer.build([variable])
    for rate in rates[:steps]:
        extra = rng.integers(0, count, rng.integers(0, 5))
        touched = rng.permutation(np.concatenate([rows, rows[extra]]))
        scale = 10 ** rng.uniform(-3, 2)
        gradients = (rng.normal(size=(len(touched), dim)) * scale).astype(np.float32)
        dense = np.zeros((count, dim), np.float32)
        np.add.at(dense, touched, gradients)  # in order of position, as the table sums
        table.apply_gradients(touched, gradients, learning_rate=rate)
        keras_step(optimizer, [dense], [variable], rate)
        assert_array_equal(table.lookup(keys), np.asarray(variable))


def test_ftrl_with_the_root_is_keras_up_to_its_pow() -> None:
    """TensorFlow's pow(n, 0.5) is up to one unit in the last place off; the root here is exact.

    `linear` adds (n'^p - n^p) / rate * weight in each step, so each step may add twice that unit
    times |weight| / rate, and about as much for rounding the sum; the weight is linear / quadratic.
    """
    rate, steps = 0.3, 30
    rng = np.random.default_rng(5)
    keys = np.arange(40)
    table = HashTable(8, optimizer=Ftrl(learning_rate=rate, l1_regularization_strength=0.1))
    rows = table.find_or_insert(keys)
    variable = keras.Variable(table.lookup(keys))
    optimizer = keras.optimizers.Ftrl(rate, l1_regularization_strength=0.1)
    optimizer.build([variable])
    bound = np.zeros((40, 8))
    for _ in range(steps):
        gradient = rng.normal(size=(40, 8)).astype(np.float32)
        largest = np.abs(table.lookup(keys))
        table.apply_gradients(rows, gradient)
        keras_step(optimizer, [gradient], [variable], rate)
        accumulator, linear = np.split(table.export().states, 2, axis=1)
        root = np.sqrt(accumulator)
        bound += 2 * np.spacing(root) / rate * largest + 2 * np.spacing(np.abs(linear))
        weights = table.lookup(keys)
        assert_array_equal(accumulator, np.asarray(optimizer._accumulators[0]))
        assert (np.abs(linear - np.asarray(optimizer._linears[0])) <= bound).all()
        error = bound / (root / rate) + 4 * np.spacing(np.abs(weights))
        assert (np.abs(weights - np.asarray(variable)) <= error).all()
    zeros = weights == 0  # L1 leaves some rows at exactly 0 in both
    assert zeros.any()
    assert (np.asarray(variable)[zeros] == 0).all()


@pytest.mark.parametrize(
    ("ours", "theirs", "arguments"),
    [
        (SGD, keras.optimizers.SGD, {"momentum": 0.9}),
        (Adagrad, keras.optimizers.Adagrad, {"weight_decay": 0.1}),
        (Adam, keras.optimizers.Adam, {}),
        (RMSprop, keras.optimizers.RMSprop, {}),
    ],
    ids=name_case,
)
def test_clipping_a_row_is_keras_clipping_a_variable(
    ours: type[Optimizer], theirs: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    """Each row a variable of its own. The norms differ by the order of a sum of 24 terms and a
    gradient within the norm is multiplied and divided by it in Keras: below 2e-6 of a step, ten
    times."""
    rng = np.random.default_rng(3)
    keys = np.arange(5)
    table = HashTable(24, optimizer=ours(learning_rate=0.1, clip_norm=2.0, **arguments))
    rows = table.find_or_insert(keys)
    variables = [keras.Variable(row) for row in table.lookup(keys)]
    optimizer = theirs(learning_rate=0.1, clipnorm=2.0, **arguments)
    optimizer.build(variables)
    clipped = 0
    for _ in range(10):
        scale = 10 ** rng.uniform(-2, 1, (5, 1))
        gradient = (rng.normal(size=(5, 24)) * scale).astype(np.float32)
        clipped += int((np.linalg.norm(gradient, axis=1) > 2).sum())
        table.apply_gradients(rows, gradient)
        keras_step(optimizer, list(gradient), variables, 0.1)
        theirs_now = np.stack([np.asarray(v) for v in variables])
        assert_allclose(table.lookup(keys), theirs_now, rtol=2e-5, atol=2e-6)
    assert 10 < clipped < 40


def test_rowwise_adagrad_of_one_weight_is_keras_adagrad() -> None:
    keys = np.arange(30)
    table = HashTable(1, optimizer=RowwiseAdagrad(learning_rate=0.1))
    rows = table.find_or_insert(keys)
    variable = keras.Variable(table.lookup(keys))
    optimizer = keras.optimizers.Adagrad(0.1)
    optimizer.build([variable])
    rng = np.random.default_rng(0)
    for _ in range(10):
        gradient = rng.normal(size=(30, 1)).astype(np.float32)
        table.apply_gradients(rows, gradient)
        keras_step(optimizer, [gradient], [variable], 0.1)
    assert_array_equal(table.lookup(keys), np.asarray(variable))


def test_defaults_are_keras() -> None:
    pairs = {
        SGD: keras.optimizers.SGD,
        Adagrad: keras.optimizers.Adagrad,
        Adam: keras.optimizers.Adam,
        AdamW: keras.optimizers.AdamW,
        Ftrl: keras.optimizers.Ftrl,
        RMSprop: keras.optimizers.RMSprop,
    }
    for ours, theirs in pairs.items():
        config = theirs().get_config()
        for name, value in ours().to_dict().items():
            if name not in ("name", "clip_norm"):
                expected = config[name]
                # Keras keeps the rate in a float32 variable.
                assert value == (pytest.approx(expected, rel=1e-7) if expected else expected), name


def test_a_key_that_comes_late_starts_with_a_whole_step() -> None:
    """Keras' Adam corrects by the step: a row whose first gradient comes late starts otherwise."""
    table = HashTable(1, optimizer=Adam(learning_rate=0.1))
    row = table.find_or_insert([1, 2])
    before = table.lookup([1, 2])
    variable = keras.Variable(before)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    for _ in range(2):
        table.apply_gradients(row[:1], np.ones((1, 1), np.float32))
        keras_step(optimizer, [np.array([[1], [0]], np.float32)], [variable], 0.1)
    table.apply_gradients(row, np.ones((2, 1), np.float32))
    keras_step(optimizer, [np.ones((2, 1), np.float32)], [variable], 0.1)
    moved = before - table.lookup([1, 2])
    dense = before - np.asarray(variable)
    assert_array_equal(moved[0], dense[0])
    assert_allclose(moved[1], 0.1, rtol=1e-5)
    # 0.1 sqrt(1 - 0.999^3) / (1 - 0.9^3) * 0.1 / sqrt(0.001), as TFRA does too.
    assert_allclose(dense[1], 0.063876, rtol=1e-4)
