"""Tables that admit and evict, inside Keras models: training, and saving in the middle of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.artifacts import write_directory
from emberline.errors import ArtifactCorruptError
from emberline.kernels import (
    Admission,
    CountAdmission,
    HashTable,
    ProbabilisticAdmission,
    SketchAdmission,
)
from emberline.models import (
    Adam,
    FeatureConfig,
    RankingConfig,
    TableConfig,
    load_model,
    ranking_model,
    save_model,
)
from emberline.models.embedding.table_files import read_table, write_table

POLICIES: dict[str, dict[str, Any]] = {
    "count": {"admission": CountAdmission(threshold=3)},
    "sketch": {"admission": SketchAdmission(threshold=3, width=64, depth=2)},
    "chance": {"admission": ProbabilisticAdmission(threshold=3, seed=2)},
    "evict frequency": {"on_full": "evict", "vocabulary_size": 60},
    "evict recency": {"on_full": "evict", "vocabulary_size": 60, "eviction_policy": "recency"},
    "all": {"on_full": "evict", "vocabulary_size": 60, "admission": CountAdmission(threshold=2)},
}
Data = list[tuple[dict[str, Any], Any]]


def model(**policy: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    table = TableConfig(
        name="user",
        dim=4,
        optimizer=Adam(learning_rate=0.1),
        default=(0.1, 0.2, 0.3, 0.4),
        **policy,
    )
    built = ranking_model(
        [FeatureConfig(name="user", table=table)], config=RankingConfig(hidden=(8,))
    )
    built.compile("adam", "binary_crossentropy")
    return built


def batches(seed: int, count: int = 12, size: int = 24) -> Data:
    rng = np.random.default_rng(seed)
    keys = [rng.zipf(1.3, size) % 200 for _ in range(count)]
    return [({"user": key}, (key % 2).astype(np.float32)) for key in keys]


def train(built: keras.Model, data: Data) -> None:
    for inputs, labels in data:
        built.train_on_batch(inputs, labels)


def table_of(built: keras.Model) -> HashTable:
    table = built.get_layer("embeddings").tables["user"]
    assert isinstance(table, HashTable)
    return table


def assert_same(one: HashTable, two: HashTable) -> None:
    """Rows by key, as their numbers may differ, and what the policies know."""
    rows = [table.export() for table in (one, two)]
    order = [np.argsort(part.keys) for part in rows]
    for first, second in zip(vars(rows[0]).values(), vars(rows[1]).values(), strict=True):
        assert_array_equal(first[order[0]], second[order[1]])
    states = [vars(table.export_policy_state()).values() for table in (one, two)]
    for first, second in zip(*states, strict=True):
        assert_array_equal(first, second)


@pytest.mark.filterwarnings("ignore:Skipping nested container at '_operations_by_depth")
@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, "directory") for name in POLICIES), ("sketch", ".keras"), ("all", ".keras")],
)
def test_going_on_equals_saving_loading_and_going_on(tmp_path: Path, name: str, form: str) -> None:
    straight = model(**POLICIES[name])
    train(straight, batches(1))
    if form == "directory":
        save_model(straight, tmp_path / "m")
        loaded = load_model(tmp_path / "m")
    else:
        straight.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert_same(table_of(loaded), table_of(straight))
    for built in (straight, loaded):
        train(built, batches(2))
        table_of(built).expire(older_than=5)
        train(built, batches(3))
        table_of(built).check()
    assert_same(table_of(loaded), table_of(straight))
    inputs = batches(4)[0][0]
    assert_array_equal(loaded.predict_on_batch(inputs), straight.predict_on_batch(inputs))


def test_the_newest_step_outlives_the_key_that_had_it(tmp_path: Path) -> None:
    built = model()
    train(built, [({"user": np.array([key])}, np.ones(1)) for key in (1, 2, 3)])
    table_of(built).erase([3])
    save_model(built, tmp_path / "m")
    loaded = table_of(load_model(tmp_path / "m"))
    assert loaded.expire(older_than=1) == 1
    assert loaded.keys().tolist() == [2]


def rewritten(path: Path, version: int, change: Any) -> Path:
    """Save the directory again with `change` applied to it."""
    target = path.parent / "rewritten"
    with write_directory(target, kind="model", version=version) as staging:
        shutil.copytree(path, staging.path, dirs_exist_ok=True)
        (staging.path / "_manifest.json").unlink()
        change(staging.path)
    return target


def test_models_saved_before_there_were_policies_are_loaded(tmp_path: Path) -> None:
    def as_it_was(path: Path) -> None:
        (path / "tables/embeddings/user/policy.npz").unlink()
        saved = json.loads((path / "model.json").read_text())
        layer = next(x for x in saved["keras"]["config"]["layers"] if x["name"] == "embeddings")
        del layer["config"]["threads"]
        feature = layer["config"]["feature_configs"][0]
        del feature["max_length"], feature["weighted"]
        for name in ("on_full", "eviction_policy", "admission", "default"):
            del feature["table"][name]
        (path / "model.json").write_text(json.dumps(saved))

    built = model()
    train(built, batches(1))
    save_model(built, tmp_path / "m")
    loaded = load_model(rewritten(tmp_path / "m", 1, as_it_was))
    assert_same(table_of(loaded), table_of(built))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate_counts": np.array([9], np.uint32)}, "count that is not from 1 to 2"),
        ({"candidate_counts": np.empty(0, np.uint32)}, "candidate_counts has shape"),
        ({"sketch_cells": np.zeros(3, np.uint8)}, "3 cells of a sketch"),
        ({"newest_step": np.zeros(2)}, "policy.npz does not hold the policies' state"),
        ({"newest_step": None}, "newest_step"),
    ],
)
def test_a_state_that_the_rules_cannot_have_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    table = HashTable(2, name="user", admission=CountAdmission(threshold=3))
    table.find_or_insert([1, 1, 1, -7])
    write_table(table, tmp_path / "t")
    file = tmp_path / "t/policy.npz"
    with np.load(file) as arrays:
        changed = {**arrays, **change}
    np.savez(file, **{name: array for name, array in changed.items() if array is not None})
    with pytest.raises(ArtifactCorruptError, match=message):
        read_table(table, tmp_path / "t")
    file.write_bytes(b"PK")
    with pytest.raises(ArtifactCorruptError, match=r"policy\.npz cannot be read"):
        read_table(table, tmp_path / "t")


def test_policies_show_in_training() -> None:
    rule: Admission = CountAdmission(threshold=2)
    built = model(admission=rule, vocabulary_size=20, on_full="evict")
    train(built, batches(1))
    stats = built.get_layer("embeddings").stats()["user"]
    assert stats.size == 20
    assert stats.evicted > 0
    assert stats.rejected > 0
