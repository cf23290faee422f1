"""Keras optimizers and names as optimizers of tables."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from emberline.errors import DataError
from emberline.models import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    EmbeddingCollection,
    FeatureConfig,
    Ftrl,
    RMSprop,
    RowwiseAdagrad,
    TableConfig,
)
from emberline.models.embedding.table_optimizer import table_optimizer

FEATURE = FeatureConfig(name="u", table=TableConfig(name="u", dim=4))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SGD(learning_rate=3.0), SGD(learning_rate=3.0)),
        ("sgd", SGD()),
        ("Adagrad", Adagrad()),
        ("rowwiseadagrad", RowwiseAdagrad()),
        ("adam", Adam()),
        ("ADAMW", AdamW()),
        ("ftrl", Ftrl()),
        ("rmsprop", RMSprop()),
        (
            keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
            SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
        ),
        (
            keras.optimizers.Adagrad(initial_accumulator_value=0.3),
            Adagrad(initial_accumulator_value=0.3),
        ),
        (
            keras.optimizers.Adam(1e-2, beta_1=0.8, weight_decay=0.1),
            Adam(learning_rate=0.01, beta_1=0.8, weight_decay=0.1),
        ),
        (keras.optimizers.AdamW(amsgrad=True, name="mine"), AdamW(amsgrad=True)),
        (
            keras.optimizers.Ftrl(l1_regularization_strength=0.5, beta=1.0),
            Ftrl(l1_regularization_strength=0.5, beta=1.0),
        ),
        (
            keras.optimizers.RMSprop(rho=0.7, centered=True, momentum=0.1),
            RMSprop(rho=0.7, centered=True, momentum=0.1),
        ),
        (keras.optimizers.get("adam"), Adam()),
    ],
    ids=str,
)
def test_translations(given: Any, expected: Any) -> None:
    assert table_optimizer(given) == expected
    layer = EmbeddingCollection([FEATURE], optimizer=given)
    assert layer.optimizer == layer.tables["u"].optimizer == expected
    again = EmbeddingCollection.from_config(layer.get_config())
    assert again.tables["u"].optimizer == expected


class Tuned(keras.optimizers.Adam):
    """A user's Adam."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("adan", r"unknown optimizer 'adan'; did you mean 'adam'\?"),
        ("lion", r"unknown optimizer 'lion'; known: adagrad, adam"),
        (3, "optimizer is 3; expected an emberline optimizer such as Adagrad"),
        (keras.optimizers.Lion(), r"cannot train as .*\.Lion does; use one of Keras' SGD, Adagrad"),
        (Tuned(), r"cannot train as .*\.Tuned does"),
        (keras.optimizers.SGD(clipnorm=1.0), r"SGD\(clipnorm=1.0\) does not .* use clip_norm"),
        (keras.optimizers.SGD(clipvalue=1.0), r"SGD\(clipvalue=1.0\) does not work for a table"),
        (keras.optimizers.Adam(global_clipnorm=2.0), r"Adam\(global_clipnorm=2.0\)"),
        (keras.optimizers.Adam(use_ema=True), r"Adam\(use_ema=True\) .* no second copy"),
        (keras.optimizers.Adam(loss_scale_factor=8.0), r"Adam\(loss_scale_factor=8.0\)"),
        (keras.optimizers.Adam(gradient_accumulation_steps=2), "gradient_accumulation_steps=2"),
        (
            keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)),
            "Adam: learning_rate is a schedule",
        ),
    ],
)
def test_what_a_table_cannot_do_is_named(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        EmbeddingCollection([FEATURE], optimizer=given)


def test_a_tables_own_optimizer_overrides() -> None:
    own = TableConfig(name="m", dim=2, optimizer=Ftrl())
    layer = EmbeddingCollection([FEATURE, FeatureConfig(name="m", table=own)], optimizer="adam")
    assert [layer.tables[name].optimizer for name in ("u", "m")] == [Adam(), Ftrl()]


def test_the_collection_trains_as_the_keras_optimizer_it_was_given() -> None:
    """Against keras.layers.Embedding with the same start, every row in every step."""
    given = keras.optimizers.Adam(0.05)
    layer = EmbeddingCollection([FEATURE], optimizer=given)
    keys = np.arange(6)
    layer({"u": keys}, training=True)
    dense = keras.Variable(layer.tables["u"].lookup(keys))
    given.build([dense])
    target = tf.constant(np.random.default_rng(0).normal(size=(6, 4)), tf.float32)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((layer({"u": keys}, training=True) - target) ** 2)
        tape.gradient(loss, layer.trainable_variables)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((dense.value - target) ** 2)
        given.apply(tape.gradient(loss, [dense.value]), [dense])
    assert np.array_equal(layer.tables["u"].lookup(keys), np.asarray(dense))
