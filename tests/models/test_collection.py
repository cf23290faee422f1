"""`EmbeddingCollection`: shapes, gradients, sharing, modes, inputs, errors."""

import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from emberline.errors import DataError
from emberline.kernels import SGD, Adagrad, ConfigError, Constant, CountAdmission, Uniform
from emberline.models import EmbeddingCollection, FeatureConfig, TableConfig

ONE = Constant(value=1.0)


def feature(
    name: str, dim: int = 2, *, table: str | None = None, combiner: Any = "mean", **kwargs: Any
) -> FeatureConfig:
    config = TableConfig(
        name=table or name,
        dim=dim,
        combiner=combiner,
        initializer=ONE,
        optimizer=SGD(learning_rate=1.0),
    )
    return FeatureConfig(name=name, table=config, **kwargs)


def row(layer: EmbeddingCollection, table: str, key: int) -> list[float]:
    values: list[float] = layer.tables[table].lookup(np.array([key]), missing="zeros")[0].tolist()
    return values


def step(
    layer: EmbeddingCollection, inputs: dict[str, Any], upstream: Sequence[Sequence[float]]
) -> Any:
    """Run forward and a backward pass with the given gradient of the output."""
    with tf.GradientTape() as tape:
        out = layer(inputs, training=True)
        loss = tf.reduce_sum(out * tf.constant(upstream, tf.float32))
    tape.gradient(loss, layer.trainable_variables)
    return out


def test_vectors_stand_side_by_side_in_the_order_of_the_features() -> None:
    layer = EmbeddingCollection([feature("u", 2), feature("m", 3)])
    layer.tables["u"].assign(np.array([7]), np.array([[1, 2]], np.float32))
    layer.tables["m"].assign(np.array([9]), np.array([[3, 4, 5]], np.float32))
    out = layer({"u": np.array([7, 7]), "m": np.array([9, 9])})
    assert out.numpy().tolist() == [[1, 2, 3, 4, 5]] * 2
    parts = layer.split(out)
    assert parts["m"].numpy().tolist() == [[3, 4, 5]] * 2


def test_inference_never_inserts_and_unknown_keys_give_zeros() -> None:
    layer = EmbeddingCollection([feature("u")])
    assert layer({"u": np.array([5])}).numpy().tolist() == [[0, 0]]
    assert layer.tables["u"].size == 0
    assert layer({"u": np.array([5])}, training=True).numpy().tolist() == [[1, 1]]
    assert layer.tables["u"].size == 1


def test_gradients_of_equal_keys_are_summed_before_the_update() -> None:
    layer = EmbeddingCollection([feature("u")])
    step(layer, {"u": np.array([5, 5, 5, 6])}, [[1, 2]] * 4)
    assert row(layer, "u", 5) == [1 - 3, 1 - 6]
    assert row(layer, "u", 6) == [1 - 1, 1 - 2]


@pytest.mark.parametrize(
    ("combiner", "pooled", "share"),
    [("sum", 2, 1), ("mean", 1, 1 / 2), ("sqrtn", 2**0.5, 0.5**0.5)],
)
def test_pooling_and_its_gradient(combiner: str, pooled: float, share: float) -> None:
    layer = EmbeddingCollection([feature("g", combiner=combiner)])
    inputs = {"g__values": np.array([1, 2]), "g__offsets": np.array([0, 2, 2])}
    out = step(layer, inputs, [[1, 1], [100, 100]])
    expected = np.array([[pooled, pooled], [0.0, 0.0]])
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(row(layer, "g", 1), [1 - share] * 2, rtol=1e-6)


def test_features_of_one_table_share_its_rows_and_one_update() -> None:
    table = TableConfig(
        name="shared",
        dim=1,
        combiner="sum",
        initializer=ONE,
        optimizer=Adagrad(learning_rate=1.0, initial_accumulator_value=0.0, epsilon=1e-12),
    )
    layer = EmbeddingCollection(
        [FeatureConfig(name="a", table=table), FeatureConfig(name="b", table=table)]
    )
    inputs = {"a": np.array([3]), "b__values": np.array([3, 3]), "b__offsets": np.array([0, 2])}
    step(layer, inputs, [[1, 1]])
    # The summed gradient 3 enters Adagrad once: 1 - 3 / sqrt(9).
    np.testing.assert_allclose(row(layer, "shared", 3), [0.0], atol=1e-6)
    assert layer.tables["shared"].size == 1


def test_a_layer_called_twice_in_a_step_trains_both_calls() -> None:
    layer = EmbeddingCollection([feature("u", 1)])
    with tf.GradientTape() as tape:
        first = layer({"u": np.array([1, 2])}, training=True)
        second = layer({"u": np.array([3])}, training=True)
        loss = tf.reduce_sum(first) + 10 * tf.reduce_sum(second)
    tape.gradient(loss, layer.trainable_variables)
    assert [row(layer, "u", key) for key in (1, 2, 3)] == [[0], [0], [-9]]


def test_a_frozen_layer_neither_inserts_nor_moves() -> None:
    layer = EmbeddingCollection([feature("u")])
    layer({"u": np.array([1])}, training=True)
    layer.trainable = False
    step(layer, {"u": np.array([1, 2])}, [[1, 1]] * 2)
    assert row(layer, "u", 1) == [1, 1]
    assert layer.tables["u"].size == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([[1], [2]]), [[1, 1], [1, 1]]),
        (np.array([[1, 2, 3], [1, 1, 1]]), [[3, 3], [3, 3]]),
        (tf.ragged.constant([[1, 2], []], dtype=tf.int64), [[2, 2], [0, 0]]),
        (np.array([1, 2], np.int32), [[1, 1], [1, 1]]),
    ],
    ids=["column", "padded", "ragged", "int32"],
)
def test_accepted_inputs(given: Any, expected: list[list[float]]) -> None:
    layer = EmbeddingCollection([feature("u", combiner="sum")])
    assert layer({"u": given}, training=True).numpy().tolist() == expected


def test_masked_entries_are_no_keys() -> None:
    layer = EmbeddingCollection([feature("u", combiner="mean", mask_value=0)])
    out = layer({"u": np.array([[5, 5, 0], [0, 0, 0]])}, training=True)
    assert out.numpy().tolist() == [[1, 1], [0, 0]]
    assert layer.tables["u"].keys().tolist() == [5]


def test_int64_extremes_are_keys() -> None:
    keys = np.array([np.iinfo(np.int64).min, -1, 0, np.iinfo(np.int64).max])
    layer = EmbeddingCollection([feature("u")])
    layer({"u": keys}, training=True)
    assert layer.tables["u"].keys().tolist() == keys.tolist()


def test_new_keys_start_as_a_function_of_seed_and_key_alone() -> None:
    def vectors(batches: list[list[int]]) -> dict[int, list[float]]:
        table = TableConfig(name="t", dim=8, initializer=Uniform(low=-1.0, high=1.0), seed=4)
        layer = EmbeddingCollection([FeatureConfig(name="u", table=table)])
        for batch in batches:
            layer({"u": np.array(batch)}, training=True)
        return {key: row(layer, "t", key) for batch in batches for key in batch}

    one, other = vectors([[1, 2], [3]]), vectors([[3, 2, 1]])
    assert one == other
    assert len({tuple(v) for v in one.values()}) == 3


def test_errors_name_the_feature() -> None:
    with pytest.raises(DataError, match="feature 'u' is given twice"):
        EmbeddingCollection([feature("u"), feature("u")])
    with pytest.raises(DataError, match="a different table of the name 't'"):
        EmbeddingCollection([feature("u", 2, table="t"), feature("m", 3, table="t")])
    with pytest.raises(DataError, match="at least one feature"):
        EmbeddingCollection([])
    layer = EmbeddingCollection([feature("userId")])
    with pytest.raises(DataError, match=r"'userId' is not among the inputs.*did you mean 'userID'"):
        layer({"userID": np.array([1])})
    with pytest.raises(DataError, match=r"'userId' has dtype float32; keys must be integers"):
        layer({"userId": np.array([1.5], np.float32)})
    with pytest.raises(DataError, match=r"'userId' has shape \(1, 1, 1\)"):
        layer({"userId": np.array([[[1]]])})


def test_unequal_batches_are_refused_by_name() -> None:
    layer = EmbeddingCollection([feature("u"), feature("m")])
    with pytest.raises(DataError, match="feature 'm' has 3 samples, 'u' has 2"):
        layer({"u": np.array([1, 2]), "m": np.array([1, 2, 3])})


def test_float16_policy_is_refused() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(ValueError, match="mixed_bfloat16"):
            EmbeddingCollection([feature("u")])({"u": np.array([1])})
    finally:
        keras.config.set_dtype_policy("float32")


def test_configs_are_checked() -> None:
    with pytest.raises(DataError, match=r"unknown combiner 'men'; did you mean 'mean'\?"):
        feature("u", combiner="men")
    with pytest.raises(DataError, match="dim is 0"):
        feature("u", 0)
    with pytest.raises(DataError, match="it names files"):
        feature("u", table="../u")
    for default in ([1, 2, 3], float("nan"), 1e39, [[1, 2]]):
        with pytest.raises(
            DataError, match=r"table 'u': default is .*expected a finite number or 2"
        ):
            TableConfig(name="u", dim=2, default=default)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigError, match="unknown on_full 'evicts'; did you mean 'evict'"):
        TableConfig(name="u", dim=2, on_full="evicts")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigError, match="unknown eviction_policy 'lru'"):
        TableConfig(name="u", dim=2, eviction_policy="lru")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigError, match="feature 'u': max_length is 0"):
        feature("u", max_length=0)
    with pytest.raises(DataError, match="no field 'dimm'; did you mean 'dim'"):
        TableConfig.from_dict({"name": "t", "dimm": 3})


def test_config_round_trip() -> None:
    layer = EmbeddingCollection([feature("u", mask_value=3), feature("m", 5)], name="e")
    again = EmbeddingCollection.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.feature_configs == layer.feature_configs


def test_config_of_policies_round_trip() -> None:
    table = TableConfig(
        name="t",
        dim=2,
        vocabulary_size=50,
        on_full="evict",
        eviction_policy="recency",
        admission=CountAdmission(threshold=3),
        default=[0.5, 1],
    )
    configs = [FeatureConfig(name="u", table=table, max_length=4, weighted=True)]
    layer = EmbeddingCollection(configs, name="e", threads=1)
    config = json.loads(json.dumps(layer.get_config()))
    again = EmbeddingCollection.from_config(config)
    assert again.feature_configs == layer.feature_configs
    assert again.get_config() == layer.get_config()
    assert again.tables["t"].config() == layer.tables["t"].config()
    assert again.tables["t"].config()["max_rows"] == 50
    assert again.tables["t"].threads == 1


def test_configs_written_before_there_were_policies_are_read() -> None:
    config = EmbeddingCollection([feature("u")], name="e").get_config()
    del config["threads"]
    for name in ("max_length", "weighted"):
        del config["feature_configs"][0][name]
    for name in ("on_full", "eviction_policy", "admission", "default"):
        del config["feature_configs"][0]["table"][name]
    again = EmbeddingCollection.from_config(config)
    assert again.feature_configs == (feature("u"),)


def test_keys_without_a_vector_give_the_default() -> None:
    table = TableConfig(
        name="t",
        dim=2,
        combiner="sum",
        initializer=ONE,
        optimizer=SGD(learning_rate=1.0),
        admission=CountAdmission(threshold=2),
        default=(8, 9),
    )
    layer = EmbeddingCollection([FeatureConfig(name="u", table=table)])
    inputs = {"u": tf.ragged.constant([[5, 5], [6], []], dtype=tf.int64)}
    out = step(layer, inputs, [[1, 1]] * 3)
    assert out.numpy().tolist() == [[2, 2], [8, 9], [0, 0]]
    assert row(layer, "t", 5) == [-1, -1]
    assert layer(inputs).numpy().tolist() == [[-2, -2], [8, 9], [0, 0]]
    assert layer.tables["t"].keys().tolist() == [5]
    assert layer.stats()["t"].candidates == 1


def test_keys_beyond_max_length_are_as_if_not_there() -> None:
    layer = EmbeddingCollection([feature("u", combiner="mean", mask_value=0, max_length=2)])
    out = step(layer, {"u": np.array([[0, 5, 6, 7], [8, 0, 0, 0]])}, [[1, 1]] * 2)
    assert out.numpy().tolist() == [[1, 1], [1, 1]]
    assert layer.tables["u"].keys().tolist() == [5, 6, 8]
    assert row(layer, "u", 6) == [0.5, 0.5]


def test_a_layer_called_twice_trains_no_key_that_took_an_evicted_ones_row() -> None:
    table = TableConfig(
        name="t",
        dim=1,
        initializer=ONE,
        optimizer=SGD(learning_rate=1.0),
        vocabulary_size=2,
        on_full="evict",
    )
    layer = EmbeddingCollection([FeatureConfig(name="u", table=table)])
    with tf.GradientTape() as tape:
        first = layer({"u": np.array([1, 2])}, training=True)
        second = layer({"u": np.array([3, 1])}, training=True)
        loss = 100 * tf.reduce_sum(first) + tf.reduce_sum(second)
    tape.gradient(loss, layer.trainable_variables)
    assert sorted(layer.tables["t"].keys().tolist()) == [1, 3]
    assert [row(layer, "t", key) for key in (1, 3)] == [[1 - 100 - 1], [0]]


def test_stats_and_memory_by_table() -> None:
    layer = EmbeddingCollection([feature("u"), feature("m", 3)])
    layer({"u": np.array([1, 2, 1]), "m": np.array([1, 1, 1])}, training=True)
    assert {name: stats.size for name, stats in layer.stats().items()} == {"u": 2, "m": 1}
    memory = layer.memory_usage()
    assert memory["m"].rows == layer.tables["m"].memory_usage().rows > 0


@pytest.mark.parametrize(
    ("keys", "weights"),
    [
        (
            {"u__values": np.array([1, 2, 3]), "u__offsets": np.array([0, 2, 2, 3])},
            np.array([3, 1, 2], np.float32),
        ),
        (
            {"u": tf.ragged.constant([[1, 2], [], [3]], dtype=tf.int64)},
            tf.ragged.constant([[3, 1], [], [2]], dtype=tf.float64),
        ),
        ({"u": np.array([[1, 2], [0, 0], [0, 3]])}, np.array([[3, 1], [7, 7], [7, 2]])),
    ],
    ids=["values", "ragged", "masked"],
)
@pytest.mark.parametrize(
    ("combiner", "divisors"), [("sum", [1, 1]), ("mean", [4, 2]), ("sqrtn", [10**0.5, 2])]
)
def test_weights_of_keys(
    keys: dict[str, Any], weights: Any, combiner: str, divisors: list[float]
) -> None:
    layer = EmbeddingCollection(
        [feature("v", 1), feature("u", 1, combiner=combiner, mask_value=0, weighted=True)]
    )
    layer.tables["u"].assign(np.array([1, 2, 3]), np.array([[1], [10], [100]], np.float32))
    inputs = {**keys, "u__weights": weights, "v": np.array([8, 8, 8])}
    out = step(layer, inputs, [[0, 1], [0, 5], [0, 1]])
    first, last = divisors
    np.testing.assert_allclose(out[:, 1], [13 / first, 0, 200 / last], rtol=1e-6)
    moved = [row(layer, "u", key)[0] for key in (1, 2, 3)]
    np.testing.assert_allclose(moved, [1 - 3 / first, 10 - 1 / first, 100 - 2 / last], rtol=1e-6)


def test_a_single_key_with_a_weight() -> None:
    layer = EmbeddingCollection([feature("u", 1, combiner="sum", weighted=True)])
    for keys in (np.array([5, 6]), np.array([[5], [6]])):
        weights = np.array([2.0, 0.5], np.float32).reshape(keys.shape)
        out = layer({"u": keys, "u__weights": weights}, training=True)
        assert out.numpy().tolist() == [[2], [0.5]]


def test_weights_keep_their_precision_under_bfloat16() -> None:
    layer = EmbeddingCollection(
        [feature("u", 1, combiner="sum", weighted=True)], dtype="mixed_bfloat16"
    )
    weight = np.float32(1 + 2**-20)
    out = layer({"u": np.array([5]), "u__weights": np.array([weight])}, training=True)
    assert out.numpy().tolist() == [[weight]]


def test_bad_weights_are_refused_by_name() -> None:
    layer = EmbeddingCollection([feature("u", weighted=True)])
    with pytest.raises(
        DataError, match="'u' is weighted, but 'u__weights' is not among the inputs"
    ):
        layer({"u": np.array([1])})
    message = r"'u': its weights have shape \(1,\) and its keys \(2,\)"
    with pytest.raises(DataError, match=message):
        layer({"u": np.array([1, 2]), "u__weights": np.ones(1)})
