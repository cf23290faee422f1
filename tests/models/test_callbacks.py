"""Callbacks that restrict, expire and decay tables while a model trains."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from emberline.errors import DataError
from emberline.kernels import HashTable
from emberline.models import (
    CountAdmission,
    DecayFrequency,
    ExpireKeys,
    FeatureConfig,
    RankingConfig,
    RestrictTables,
    TableConfig,
    load_model,
    ranking_model,
    save_model,
)


def model(steps_per_execution: int = 1, **policy: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    features = [
        FeatureConfig(name=name, table=TableConfig(name=name, dim=2, **policy))
        for name in ("user", "item")
    ]
    built = ranking_model(features, config=RankingConfig(hidden=(4,)))
    built.compile(
        "adam",
        "binary_crossentropy",
        steps_per_execution=steps_per_execution,
        run_eagerly=steps_per_execution == 1,  # a few steps are faster than a graph of them
    )
    return built


def fit(built: keras.Model, callbacks: list[Any], users: Any, **settings: Any) -> None:
    """Train on one user a step, all of one item."""
    inputs = {"user": np.array(users), "item": np.zeros(len(users), np.int64)}
    built.fit(
        inputs,
        np.ones(len(users), np.float32),
        batch_size=1,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **settings,
    )


def table(built: keras.Model, name: str = "user") -> HashTable:
    found = built.get_layer("embeddings").tables[name]
    assert isinstance(found, HashTable)
    return found


def keys(built: keras.Model) -> list[int]:
    return sorted(table(built).keys().tolist())


class Sizes(keras.callbacks.Callback):
    """Notes the size of the user table after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.sizes.append(table(self.model).size)


def test_restrict_keeps_the_most_frequent_at_the_end_of_an_epoch() -> None:
    built, sizes, restrict = model(), Sizes(), RestrictTables(2)
    fit(built, [restrict, sizes], [5, 7, 7, 9, 9, 8])
    assert sizes.sizes == [1, 2, 2, 3, 3, 4]
    assert keys(built) == [7, 9]
    assert restrict.removed == {"user": 2, "item": 0}
    assert table(built).stats().evicted == 2


def test_restrict_by_recency_and_ties_by_key() -> None:
    built = model()
    fit(built, [RestrictTables(2, policy="recency")], [5, 7, 7, 9, 9, 8])
    assert keys(built) == [8, 9]
    fit(built, [RestrictTables(1)], [8])
    assert keys(built) == [8]  # each twice: the smaller key


def test_restrict_waits_for_its_trigger() -> None:
    for trigger, kept in ((4, [1, 2, 3, 4]), (3, [1, 2])):
        built = model()
        fit(built, [RestrictTables(2, trigger)], [1, 2, 3, 4])
        assert keys(built) == kept


def test_numbers_by_table() -> None:
    built = model()
    fit(built, [RestrictTables({"item": 0}, {"item": 5})], [1, 2])
    assert (table(built).size, table(built, "item").size) == (2, 1)
    fit(built, [RestrictTables({"item": 0}, {"user": 5})], [1, 2])
    assert (table(built).size, table(built, "item").size) == (2, 0)
    fit(built, [RestrictTables(0, tables=["user"])], [1, 2])
    assert (table(built).size, table(built, "item").size) == (0, 1)


def test_every_n_steps() -> None:
    built, sizes = model(), Sizes()
    fit(built, [RestrictTables(1, every=3), sizes], [1, 2, 3, 4, 5, 6, 7], epochs=2)
    assert sizes.sizes == [1, 2, 1, 2, 3, 1, 2, 2, 1, 2, 3, 1, 2, 3]


def test_steps_of_one_execution_count_each() -> None:
    built, sizes = model(steps_per_execution=4), Sizes()
    fit(built, [RestrictTables(1, every=3), sizes], list(range(12)))
    assert sizes.sizes == [1, 1, 1]
    built, sizes = model(steps_per_execution=4), Sizes()
    fit(built, [RestrictTables(1, every=8), sizes], list(range(12)))
    assert sizes.sizes == [4, 1, 5]


def test_interrupted_training_goes_on_in_the_same_rhythm(tmp_path: Path) -> None:
    straight, users, sizes, parts = model(), [1, 2, 3, 4, 5], Sizes(), Sizes()
    fit(straight, [RestrictTables(2, every=4), sizes], users + users)
    first = model()
    fit(first, [RestrictTables(2, every=4), parts], users)
    save_model(first, tmp_path / "m")
    second = load_model(tmp_path / "m")
    fit(second, [RestrictTables(2, every=4), parts], users)
    assert parts.sizes == sizes.sizes == [1, 2, 3, 2, 3, 3, 3, 2, 3, 4]
    assert keys(second) == keys(straight)
    found = np.array(keys(straight))
    assert table(second).lookup(found).tolist() == table(straight).lookup(found).tolist()


def test_expire_removes_what_was_not_trained_for_long() -> None:
    built, expire = model(), ExpireKeys(2)
    fit(built, [expire], [1, 2, 3, 4, 2])
    assert keys(built) == [2, 3, 4]
    assert expire.removed == {"user": 1, "item": 0}
    fit(built, [ExpireKeys(0, tables=["user"]), ExpireKeys(2**40)], [9])
    assert keys(built) == [9]
    assert table(built, "item").size == 1


def test_shrink_gives_the_rows_back() -> None:
    users = list(range(5))
    for callback in (RestrictTables(1, shrink=True), ExpireKeys(0, shrink=True)):
        built = model()
        fit(built, [callback], users)
        assert table(built).row_limit == table(built).size == 1
        fit(built, [], [3, 4, 5])
        table(built).check()
    built = model()
    fit(built, [RestrictTables(1)], users)
    assert table(built).row_limit == 5


def test_decay_halves_counts_and_forgets_candidates() -> None:
    built = model(admission=CountAdmission(threshold=3))
    fit(built, [DecayFrequency(0.5)], [1, 1, 1, 1, 1, 1, 2, 2, 3])
    user = table(built).export()
    assert dict(zip(user.keys.tolist(), user.frequency.tolist(), strict=True)) == {1: 2}
    assert table(built).export_policy_state().candidate_keys.tolist() == [2]
    fit(built, [DecayFrequency(0.5, every=2, tables=["item"])], [1])
    assert table(built).export().frequency.tolist() == [3]


def test_evaluation_and_prediction_leave_tables_alone() -> None:
    built = model()
    fit(built, [], [1, 2, 3])
    inputs = {"user": np.array([1, 2, 3]), "item": np.zeros(3, np.int64)}
    built.predict(inputs, verbose=0, callbacks=[RestrictTables(0)])
    built.evaluate(inputs, np.ones(3), verbose=0, callbacks=[RestrictTables(0)])
    assert keys(built) == [1, 2, 3]


@pytest.mark.parametrize(
    "callback",
    [
        RestrictTables(5, 7, "recency", every=3, tables=["user"], shrink=True),
        RestrictTables({"user": 5}, {"user": 9}),
        ExpireKeys(5, every=2, shrink=True),
        DecayFrequency(0.25, tables=["item"]),
    ],
)
def test_config_round_trip(callback: Any) -> None:
    config = callback.get_config()
    assert type(callback).from_config(config).get_config() == config
    written = keras.saving.serialize_keras_object(callback)
    again = keras.saving.deserialize_keras_object(written)
    assert type(again) is type(callback)
    assert again.get_config() == config


BAD: list[tuple[Any, list[Any], dict[str, Any], str]] = [
    (
        RestrictTables,
        [-1],
        {},
        "RestrictTables: num_reserved is -1; expected an integer, at least 0",
    ),
    (RestrictTables, [1.5], {}, r"num_reserved is 1\.5"),
    (RestrictTables, [{"user": -1}], {}, "num_reserved is -1"),
    (RestrictTables, [{"user": 1}], {"tables": ["item"]}, "has no number for table 'item'"),
    (RestrictTables, [1, -1], {}, "trigger is -1"),
    (RestrictTables, [1], {"policy": "recent"}, "unknown policy 'recent'; did you mean 'recency'"),
    (RestrictTables, [1], {"every": 0}, "every is 0; .* at least 1 or 'epoch'"),
    (ExpireKeys, [True], {}, "ExpireKeys: older_than is True"),
    (ExpireKeys, [1], {"every": "batch"}, "every is 'batch'"),
    (ExpireKeys, [1], {"tables": "user"}, "tables is 'user'; expected a list of names"),
    (DecayFrequency, [1.5], {}, r"factor is 1\.5; expected a number from 0 to 1"),
    (DecayFrequency, [float("nan")], {}, "factor is nan"),
]


@pytest.mark.parametrize(("callback", "arguments", "settings", "message"), BAD)
def test_bad_settings_are_refused_at_once(
    callback: Any, arguments: list[Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        callback(*arguments, **settings)


def test_a_model_without_the_table_is_refused_before_the_first_step() -> None:
    built, sizes = model(), Sizes()
    with pytest.raises(DataError, match="the model has no table 'users'; did you mean 'user'"):
        fit(built, [ExpireKeys(1, tables=["users"]), sizes], [1])
    assert sizes.sizes == []
    inputs = keras.Input((2,))
    dense = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="dense")
    dense.compile("sgd", "mse")
    with pytest.raises(DataError, match="model 'dense' has no tables"):
        dense.fit(np.ones((1, 2)), np.ones((1, 1)), verbose=0, callbacks=[ExpireKeys(1)])
