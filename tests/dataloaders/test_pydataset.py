"""The loader as a PyDataset; Keras on TensorFlow."""

import gc
import random
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from emberline.dataloaders import Loader, LoaderStateError
from tests.dataloaders.recorder import Recorder

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


@pytest.fixture
def files(write_files: WriteFiles) -> list[Path]:
    return write_files([[13, 9, 14], [11, 12]])


def make(files: list[Path], **arguments: Any) -> Loader:
    arguments = {"columns": ["id"], "targets": "label", "shuffle": True, "seed": 3, **arguments}
    return Loader(files, 8, **arguments)


def ids(batches: Any) -> list[list[int]]:
    return [np.asarray(batch[0]["id"]).tolist() for batch in batches]


def compiled() -> Recorder:
    keras.utils.set_random_seed(1)
    model = Recorder()
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    return model


def test_fit_is_one_epoch_of_the_loader_an_epoch(files: list[Path]) -> None:
    loader, validation = make(files), make(files, seed=9)
    model = compiled()
    history = model.fit(
        loader.as_pydataset(),
        epochs=3,
        validation_data=validation.as_pydataset(),
        shuffle=False,
        verbose=0,
    )
    assert model.seen == ids(make(files).epochs(3))
    assert (loader.epoch, validation.epoch) == (3, 3)
    assert len(history.history["val_loss"]) == 3
    # A second fit goes on.
    model.fit(loader.as_pydataset(), shuffle=False, verbose=0)
    assert loader.epoch == 4
    again = make(files)
    again.set_epoch(3)
    assert model.seen[24:] == ids(again)
    gc.collect()


def test_evaluate_and_predict(files: list[Path]) -> None:
    model = compiled()
    loader = make(files)
    expected = model.evaluate(loader.as_keras(), verbose=0)
    loader.set_epoch(0)
    assert model.evaluate(loader.as_pydataset(), verbose=0) == pytest.approx(expected, rel=1e-6)
    plain = make(files, targets=None)
    predicted = model.predict(plain.as_pydataset(), verbose=0)
    x, _ = next(iter(Loader(files, 99, columns=["id"])))
    order = np.concatenate([x["id"] for x, _ in make(files, targets=None)])
    whole = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(predicted, whole[order], rtol=1e-5)
    weighted = Loader(files, 8, columns=["id"], targets="label", weights="price")
    assert np.isfinite(model.evaluate(weighted.as_pydataset(), verbose=0))


def test_any_order_gives_the_same_batches_and_warns(files: list[Path]) -> None:
    expected = ids(make(files))
    data = make(files).as_pydataset()
    order = [0, 1, 2, 5, 6, 3, 7, 4]  # gaps of a few batches, as several threads make them
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ids(data[i] for i in order) == [expected[i] for i in order]
    order = [7, 5, 3, 1, 6, 4, 2, 0]
    data = make(files).as_pydataset()
    with pytest.warns(UserWarning, match="Pass shuffle=False to fit"):
        assert ids(data[i] for i in order) == [expected[i] for i in order]
    assert ids([data[-1], data[0], data[0]]) == [expected[-1], expected[0], expected[0]]
    with pytest.raises(IndexError, match="batch 8 does not exist: an epoch has 8 batches"):
        data[8]
    data.on_epoch_end()  # without a beginning: nothing moves
    assert ids([data[0]]) == [expected[0]]
    assert len(data) == 8


def test_fit_with_its_default_shuffle_has_every_row_and_warns(files: list[Path]) -> None:
    random.seed(5)
    model = compiled()
    with pytest.warns(UserWarning, match="not that of the seed"):
        model.fit(make(files).as_pydataset(), verbose=0)
    assert sorted(model.seen) == sorted(ids(make(files)))
    gc.collect()


def test_threads_of_keras(files: list[Path]) -> None:
    expected = ids(make(files))
    data = make(files).as_pydataset()
    with ThreadPoolExecutor(4) as pool:
        assert ids(pool.map(data.__getitem__, range(8))) == expected
    model = compiled()
    data = make(files).as_pydataset()
    data.workers = 2
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert model.seen == ids(make(files).epochs(2))
    gc.collect()


def test_a_moved_loader_moves_its_pydataset(files: list[Path]) -> None:
    loader = make(files)
    data = loader.as_pydataset()
    assert ids([data[0]]) == ids(make(files))[:1]
    loader.set_epoch(2)
    expected = make(files)
    expected.set_epoch(2)
    assert ids([data[0], data[1]]) == ids(expected)[:2]


def test_inside_an_epoch_it_is_refused(files: list[Path]) -> None:
    loader = make(files)
    next(iter(loader))
    state = loader.state_dict()
    loader.load_state_dict(state)
    with pytest.raises(LoaderStateError, match="starts at batch 1 of an epoch, but a PyDataset"):
        loader.as_pydataset()
    moved = make(files)
    data = moved.as_pydataset()
    moved.load_state_dict(state)
    with pytest.raises(LoaderStateError, match="starts at batch 1 of an epoch, but a PyDataset"):
        data[0]


def test_a_mapped_loader(files: list[Path]) -> None:
    view = make(files).map(lambda x, y: ({"id": x["id"] * 2}, y))
    model = compiled()
    model.fit(view.as_pydataset(), shuffle=False, verbose=0)
    assert model.seen == [[2 * i for i in batch] for batch in ids(make(files))]
    model = compiled()
    view.set_epoch(0)
    model.fit(view.as_tf_dataset(), shuffle=False, verbose=0)
    assert model.seen == [[2 * i for i in batch] for batch in ids(make(files))]


def test_strings(write_files: WriteFiles) -> None:
    class Lengths(keras.Model):
        def call(self, x: Any) -> Any:
            return tf.cast(tf.strings.length(x["name"]), "float32")[:, None]

    model = Lengths()
    model.compile(loss="mse", run_eagerly=True)
    loader = Loader(write_files([[12]]), 5, columns=["name"], targets="price")
    assert model.predict(loader.as_pydataset(), verbose=0)[:, 0].tolist() == [2] * 10 + [3] * 2
