"""Plain Keras `compile`/`fit`/`evaluate`/`predict` over hash tables, and saving."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from emberline.errors import (
    ArtifactCorruptError,
    ArtifactError,
    ArtifactMissingError,
    ArtifactVersionError,
    DataError,
)
from emberline.models import (
    Adagrad,
    EmbeddingCollection,
    FeatureConfig,
    RankingConfig,
    TableConfig,
    checkpoint,
    load_model,
    ranking_model,
    save_model,
)

Batch = dict[str, npt.NDArray[Any]]


def model(seed: int = 0, dropout: float = 0.0, optimizer: str = "adam") -> keras.Model:
    keras.utils.set_random_seed(seed)
    features = [
        FeatureConfig(
            name=name,
            table=TableConfig(name=name, dim=4, seed=seed, optimizer=Adagrad(learning_rate=0.5)),
        )
        for name in ("userId", "genres")
    ]
    config = RankingConfig(hidden=(8,), dropout=dropout)
    built = ranking_model(features, ragged=["genres"], config=config)
    built.compile(optimizer, "binary_crossentropy")
    return built


def batches(count: int = 6, size: int = 32, seed: int = 0) -> list[tuple[Batch, npt.NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        users = rng.integers(-20, 20, size)
        lengths = rng.integers(0, 4, size)
        inputs = {
            "userId": users,
            "genres__values": rng.integers(0, 5, lengths.sum()),
            "genres__offsets": np.concatenate([[0], np.cumsum(lengths)]),
        }
        result.append((inputs, (users % 2 == 0).astype(np.float32)))
    return result


class Batches(keras.utils.PyDataset):
    """Ragged batches in order."""

    def __init__(self, items: list[tuple[Batch, npt.NDArray[Any]]]) -> None:
        super().__init__()
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Batch, npt.NDArray[Any]]:
        return self.items[index]


def contents(built: keras.Model) -> dict[str, dict[int, list[float]]]:
    layer = built.get_layer("embeddings")
    result = {}
    for name, table in layer.tables.items():
        part = table.export()
        rows = np.concatenate([part.values, part.states], axis=1)
        result[name] = {int(k): r.tolist() for k, r in zip(part.keys, rows, strict=True)}
    return result


def test_fit_evaluate_predict_learn_and_agree() -> None:
    built = model()
    data = Batches(batches())
    before = built.evaluate(data, verbose=0)
    assert not any(contents(built).values())  # evaluate inserts nothing
    history = built.fit(data, epochs=30, verbose=0)
    assert history.history["loss"][-1] < 0.2 < history.history["loss"][0]
    after = built.evaluate(data, verbose=0)
    assert after < 0.2 < before
    predicted = built.predict(data, verbose=0)
    one_by_one = np.concatenate([built.predict_on_batch(x) for x, _ in data.items])
    assert np.array_equal(predicted, one_by_one)
    labels = np.concatenate([y for _, y in data.items])
    assert np.mean((predicted[:, 0] > 0.5) == labels) > 0.95
    assert float(built.get_layer("embeddings").anchor) == 0.0


def test_the_same_seed_gives_the_same_bits() -> None:
    def run() -> Any:
        built = model(seed=3, dropout=0.3)
        built.fit(Batches(batches()), epochs=2, verbose=0)
        return contents(built), [w.tolist() for w in built.get_weights()]

    assert run() == run()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw"])
def test_a_loaded_model_scores_and_trains_on_as_if_never_saved(
    tmp_path: Path, optimizer: str
) -> None:
    data = Batches(batches())
    built = model(dropout=0.3, optimizer=optimizer)
    built.fit(data, epochs=2, shuffle=False, verbose=0)
    save_model(built, tmp_path / "m", info={"note": 1})
    again = load_model(tmp_path / "m")
    assert contents(again) == contents(built)
    assert np.array_equal(again.predict(data, verbose=0), built.predict(data, verbose=0))
    built.fit(data, epochs=2, shuffle=False, verbose=0)
    again.fit(data, epochs=2, shuffle=False, verbose=0)
    assert contents(again) == contents(built)
    assert np.array_equal(again.predict(data, verbose=0), built.predict(data, verbose=0))


def test_weights_of_keys_in_a_model(tmp_path: Path) -> None:
    table = TableConfig(name="genres", dim=2, combiner="sum")
    features = [FeatureConfig(name="genres", table=table, weighted=True)]
    built = ranking_model(features, ragged=["genres"], config=RankingConfig(hidden=()))
    built.compile("adam", "binary_crossentropy")
    ones = {"genres__values": np.array([1, 2, 1]), "genres__offsets": np.array([0, 2, 3])}
    built.train_on_batch({**ones, "genres__weights": np.ones(3)}, np.array([0, 1]))
    save_model(built, tmp_path / "m")
    again = load_model(tmp_path / "m")
    first, other = (
        again.predict_on_batch({**ones, "genres__weights": np.array(weights)})
        for weights in ([1, 1, 1], [1, 1, -1])
    )
    assert first[0] == other[0]
    assert first[1] != other[1]


@pytest.mark.filterwarnings("ignore:Skipping nested container at '_operations_by_depth")
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_keras_own_files_hold_the_tables_too(tmp_path: Path, suffix: str) -> None:
    data = Batches(batches())
    built = model()
    built.fit(data, verbose=0)
    file = tmp_path / f"m{suffix}"
    if suffix == ".keras":
        built.save(file)
        again = keras.saving.load_model(file)
    else:
        built.save_weights(file)
        again = model(seed=1)
        again.optimizer.build(again.trainable_variables)
        again.load_weights(file)
    assert contents(again) == contents(built)
    assert np.array_equal(again.predict(data, verbose=0), built.predict(data, verbose=0))


def test_large_tables_are_saved_in_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emberline.models.embedding.table_files.ROWS_PER_RANGE", 7)
    built = model()
    built.fit(Batches(batches()), verbose=0)
    save_model(built, tmp_path / "m")
    files = sorted(p.name for p in (tmp_path / "m/tables/embeddings/userId").glob("rows_*"))
    rows = built.get_layer("embeddings").tables["userId"].row_limit
    assert files == [f"rows_{i:06d}.npz" for i in range(-(-rows // 7))]
    assert contents(load_model(tmp_path / "m")) == contents(built)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "m"
    built = model()
    built.fit(Batches(batches(1)), verbose=0)
    save_model(built, path)
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "m"))


def test_a_flipped_bit_anywhere_is_noticed(copy: Path) -> None:
    files = [p for p in copy.rglob("*") if p.is_file() and p.name != "_manifest.json"]
    assert len(files) == 6
    for file in files:
        good = file.read_bytes()
        file.write_bytes(good[:40] + bytes([good[40] ^ 1]) + good[41:])
        with pytest.raises(ArtifactCorruptError, match=file.name):
            load_model(copy)
        file.write_bytes(good)
    assert load_model(copy).name == "ranking"


def test_missing_newer_and_interrupted_models_are_refused(copy: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="no model at"):
        load_model(copy.parent / "none")
    manifest = copy / "_manifest.json"
    raw = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**raw, "version": 99}))
    with pytest.raises(ArtifactVersionError, match="version 99 is newer than 2"):
        load_model(copy)
    manifest.unlink()
    with pytest.raises(ArtifactMissingError, match="interrupted save"):
        load_model(copy)


def test_a_full_disk_leaves_the_old_model(
    copy: Path, monkeypatch: pytest.MonkeyPatch, saved: Path
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    built = load_model(saved)
    built.fit(Batches(batches(1)), verbose=0)
    monkeypatch.setattr(checkpoint, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(built, copy)
    assert contents(load_model(copy)) == contents(load_model(saved))
    with pytest.raises(OSError, match="No space left"):
        save_model(built, copy.parent / "new")
    assert not (copy.parent / "new").exists()


def planted(path: Path, change: Any) -> Path:
    """Save the model with `change` applied to its config, as an attacker would."""
    from emberline.artifacts import write_directory

    config = json.loads((path / "model.json").read_text())
    change(config["keras"])
    target = path.parent / "planted"
    with write_directory(target, kind="model", version=1) as staging:
        shutil.copytree(path, staging.path, dirs_exist_ok=True)
        (staging.path / "_manifest.json").unlink()
        (staging.path / "model.json").write_text(json.dumps(config))
    return target


def test_a_config_that_would_run_code_is_refused(copy: Path) -> None:
    def layer(module: str, name: str, **config: Any) -> Any:
        def change(keras_config: Any) -> None:
            keras_config["config"]["layers"][-1].update(
                {"module": module, "class_name": name, "registered_name": None, "config": config}
            )

        return change

    for change, message in [
        (layer("keras.layers", "Lambda", function="x"), "Lambda layer, which runs code"),
        (layer("keras.layers", "TFSMLayer", filepath="/x"), "TFSMLayer layer, which loads"),
        (layer("keras.layers", "StringLookup", vocabulary="/etc/passwd"), "may read a file"),
        (layer("os", "system"), r"names os\.system, which is not a Keras layer"),
        (layer("keras.utils", "get_file"), r"names keras\.utils\.get_file"),
        (layer("builtins", "function"), r"names builtins\.function"),
        (layer("keras.layers", "__builtins__"), "is not a Keras layer"),
    ]:
        with pytest.raises(ArtifactCorruptError, match=message):
            load_model(planted(copy, change))


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    inputs = keras.Input((3,))
    built = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    with pytest.raises(DataError, match="Lambda layer, which runs code"):
        save_model(built, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@keras.saving.register_keras_serializable("mine")
class Doubled(keras.layers.Layer):
    """A user's layer."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


def test_a_users_layer_loads_only_when_the_user_passes_it(tmp_path: Path) -> None:
    inputs = keras.Input((), dtype="int64", name="u")
    table = FeatureConfig(name="u", table=TableConfig(name="u", dim=2))
    embedded = EmbeddingCollection([table])({"u": inputs})
    built = keras.Model({"u": inputs}, Doubled()(embedded))
    save_model(built, tmp_path / "m", custom_objects={"Doubled": Doubled})
    with pytest.raises(ArtifactError, match="Doubled, which is not a Keras layer"):
        load_model(tmp_path / "m")
    again = load_model(tmp_path / "m", custom_objects={"Doubled": Doubled})
    assert again.predict_on_batch({"u": np.array([1])}).tolist() == [[0.0, 0.0]]


def test_a_table_file_without_an_array_is_named(copy: Path) -> None:
    from emberline.artifacts import write_directory

    target = copy.parent / "planted"
    with write_directory(target, kind="model", version=1) as staging:
        shutil.copytree(copy, staging.path, dirs_exist_ok=True)
        (staging.path / "_manifest.json").unlink()
        file = staging.path / "tables/embeddings/userId/rows_000000.npz"
        with file.open("wb") as out:
            np.savez(out, keys=np.array([1]))
    with pytest.raises(ArtifactCorruptError, match=r"rows_000000\.npz: no array 'values'"):
        load_model(target)
