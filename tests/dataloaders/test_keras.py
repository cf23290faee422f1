"""The loader under Keras; the only tests of the loader that import TensorFlow."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from emberline.dataloaders import Batch, Loader

COLUMNS = ["id", "price", "tags", "pair"]
WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


class PooledEmbedding(keras.layers.Layer):
    """Mean of the embeddings of a ragged column given as values and offsets."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(shape=(50, 3), initializer="random_normal", name="table")

    def call(self, values: Any, offsets: Any) -> Any:
        rows = tf.RaggedTensor.from_row_splits(tf.gather(self.table, values % 50), offsets)
        sums = tf.reduce_sum(rows, axis=1)
        lengths = tf.cast(rows.row_lengths(), sums.dtype)[:, None]
        return sums / tf.maximum(lengths, 1.0)


class Recorder(keras.Model):
    """A small model over ragged, fixed and scalar inputs that notes the ids it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = PooledEmbedding()
        self.dense = keras.layers.Dense(1, activation="sigmoid")
        self.seen: list[list[int]] = []

    def call(self, x: dict[str, Any], training: bool = False) -> Any:
        if training:
            x = {**x, "id": tf.py_function(self.note, [x["id"]], tf.int64)}
            x["id"].set_shape([None])
        pooled = self.pool(x["tags__values"], x["tags__offsets"])
        numbers = tf.cast(tf.stack([x["price"], tf.cast(x["id"], tf.float32)], axis=1), "float32")
        pair = tf.cast(x["pair"], tf.float32)
        return self.dense(tf.concat([pooled, numbers / 100.0, pair / 100.0], axis=1))

    def note(self, ids: Any) -> Any:
        self.seen.append(ids.numpy().tolist())
        return ids


def compiled() -> Recorder:
    keras.utils.set_random_seed(1)
    model = Recorder()
    model.compile(optimizer="adam", loss="binary_crossentropy")
    return model


def make(files: list[Path], **arguments: Any) -> Loader:
    return Loader(files, 8, columns=COLUMNS, targets="label", **arguments)


def ids(batches: Any) -> list[list[int]]:
    return [x["id"].tolist() for x, _ in batches]


def numpy(element: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), element)


def assert_same(element: Any, batch: Batch) -> None:
    tf.nest.map_structure(np.testing.assert_array_equal, element, batch)


@pytest.fixture
def files(write_files: WriteFiles) -> list[Path]:
    return write_files([[13, 9, 14], [11, 12]])


def test_the_data_set_gives_the_loaders_batches(files: list[Path]) -> None:
    dataset = make(files, shuffle=True).as_keras()
    expected = make(files, shuffle=True)
    assert int(dataset.cardinality()) == len(expected) == 8
    for _ in range(2):
        elements = [numpy(element) for element in dataset]
        for element, batch in zip(elements, expected, strict=True):
            assert_same(element, batch)
    x, y = dataset.element_spec
    assert x["tags__offsets"] == tf.TensorSpec([None], tf.int64)
    assert x["pair"] == tf.TensorSpec([None, 2], tf.int32)
    assert y == tf.TensorSpec([None], tf.int8)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_fit_is_one_loader_epoch_a_keras_epoch(files: list[Path], prefetch: int) -> None:
    loader = make(files, shuffle=True, seed=3)
    validation = make(files)
    model = compiled()
    history = model.fit(
        loader.as_keras(prefetch=prefetch),
        epochs=3,
        validation_data=validation.as_keras(),
        shuffle=False,
        verbose=0,
    )
    expected = make(files, shuffle=True, seed=3)
    assert model.seen == [batch for _ in range(3) for batch in ids(expected)]
    assert (loader.epoch, validation.epoch) == (3, 3)
    assert len(history.history["val_loss"]) == 3
    assert np.isfinite(history.history["loss"]).all()


def test_evaluate_and_predict(files: list[Path]) -> None:
    model = compiled()
    loader = make(files)
    model.fit(make(files, shuffle=True).as_keras(), epochs=1, shuffle=False, verbose=0)
    predicted = model.predict(loader.as_keras(), verbose=0)
    without_target = Loader(files, 8, columns=COLUMNS)
    assert isinstance(without_target.as_keras().element_spec, dict)
    np.testing.assert_array_equal(predicted, model.predict(without_target.as_keras(), verbose=0))
    x, y = next(iter(Loader(files, 100, columns=COLUMNS, targets="label")))
    whole = keras.ops.convert_to_numpy(model({k: tf.constant(v) for k, v in x.items()}))
    # float32, and matrix products of another batch size may sum in another order
    np.testing.assert_allclose(predicted, whole, rtol=1e-5)
    loss = model.evaluate(loader.as_keras(), verbose=0)
    p = np.clip(whole[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
    assert loss == pytest.approx(np.mean(np.where(y == 1, -np.log(p), -np.log(1 - p))), rel=1e-4)
    assert loader.epoch == 2


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored")
def test_fit_with_its_default_shuffle_keeps_the_order(files: list[Path]) -> None:
    model = compiled()
    model.fit(make(files, shuffle=True).as_keras(), epochs=2, verbose=0)
    expected = make(files, shuffle=True)
    assert model.seen == [batch for _ in range(2) for batch in ids(expected)]


def test_the_position_is_exact_at_every_step(files: list[Path]) -> None:
    loader = make(files, shuffle=True)
    positions: list[tuple[int, int]] = []

    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            positions.append((loader.epoch, loader.batch))

    compiled().fit(loader.as_keras(), epochs=2, shuffle=False, verbose=0, callbacks=[Save()])
    first = [(0, batch) for batch in range(1, 8)] + [(1, 0)]
    second = [(1, batch) for batch in range(1, 8)] + [(2, 0)]
    assert positions == first + second


def test_resume_inside_an_epoch(files: list[Path]) -> None:
    stopped = make(files, shuffle=True)
    list(itertools.islice(stopped, 3))
    expected = make(files, shuffle=True)
    rest, following = ids(expected)[3:], ids(expected)
    loader = make(files, shuffle=True)
    loader.load_state_dict(stopped.state_dict())
    dataset = loader.as_keras()
    assert int(dataset.cardinality()) == 5
    model = compiled()
    model.fit(dataset, epochs=1, shuffle=False, verbose=0)
    assert model.seen == rest
    with pytest.raises(tf.errors.OpError, match="starts at batch 3 of an epoch, the loader at"):
        next(iter(dataset))
    model.fit(loader.as_keras(), epochs=1, shuffle=False, verbose=0)
    assert model.seen[5:] == following


def test_a_broken_file_is_named(files: list[Path]) -> None:
    loader = make(files)
    dataset = loader.as_keras()
    files[1].write_bytes(b"PAR1")
    with pytest.raises(tf.errors.OpError, match=r"part_1.parquet, row group 0 cannot be read"):
        compiled().fit(dataset, epochs=1, shuffle=False, verbose=0)


def test_strings_booleans_and_several_targets(write_files: WriteFiles) -> None:
    loader = Loader(
        write_files([[5]]), 3, columns=["name", "flag"], targets=["label", "tags", "price"]
    )
    elements = [numpy(element) for element in loader.as_keras()]
    assert elements[1][0]["name"].tolist() == [b"n3", b"n4"]
    assert elements[1][0]["flag"].tolist() == [True, False]
    assert sorted(elements[1][1]) == ["label", "price", "tags__offsets", "tags__values"]
    assert elements[1][1]["tags__offsets"].tolist() == [0, 3, 3]


def test_dates_are_refused(tmp_path: Path) -> None:
    when = pa.array([0], pa.timestamp("us"))
    pq.write_table(pa.table({"when": when, "a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"'when' has dtype datetime64\[us\], which TensorFlow"):
        Loader(tmp_path, 1).as_keras()
    assert int(Loader(tmp_path, 1, columns=["a"]).as_keras().cardinality()) == 1


def test_batches_go_to_tensorflow_through_dlpack(files: list[Path]) -> None:
    for x, y in make(files, shuffle=True):
        assert isinstance(y, np.ndarray)
        for array in (*x.values(), y):
            # Misaligned memory would abort the process at the first operation.
            tensor = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
            assert int(tf.reduce_sum(tf.cast(tensor, tf.int64))) == int(array.astype("i8").sum())


def test_weights_count_in_fit_and_evaluate(write_files: WriteFiles) -> None:
    files = write_files([[13, 9]])
    loader = Loader(files, 5, columns=["id"], targets="label", weights="price")
    inputs = {"id": keras.Input((), name="id", dtype="int64")}
    numbers = keras.ops.cast(inputs["id"], "float32")[:, None]
    model = keras.Model(inputs, keras.layers.Dense(1)(numbers))
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    x, y, w = next(iter(Loader(files, 99, columns=["id"], targets="label", weights="price")))
    wrong = (keras.ops.convert_to_numpy(model({"id": x["id"]}))[:, 0] - y) ** 2
    expected = float((wrong * w).sum() / len(y))
    # Keras weighs the batches' means of w * loss by their rows.
    assert model.evaluate(loader.as_keras(), verbose=0) == pytest.approx(expected, rel=1e-4)
    history = model.fit(loader.as_keras(), shuffle=False, verbose=0)
    assert history.history["loss"] == [pytest.approx(expected, rel=1e-4)]


def test_transforms_give_the_signature(files: list[Path]) -> None:
    def step(x: dict[str, Any]) -> dict[str, Any]:
        return {"pair": x["pair"].astype("float32"), "text": x["id"].astype(str), **x}

    loader = make(files, transforms=[step], shuffle=True)
    dataset = loader.as_tf_dataset()
    x, y = dataset.element_spec
    assert x["text"] == tf.TensorSpec([None], tf.string)
    assert x["pair"] == tf.TensorSpec([None, 2], tf.int32)
    assert y == tf.TensorSpec([None], tf.int8)
    seen = [element["text"].numpy().astype(int).tolist() for element, _ in dataset]
    assert seen == ids(make(files, shuffle=True))
