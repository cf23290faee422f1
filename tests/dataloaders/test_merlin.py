"""Merlin's names, under Keras 3."""

import gc
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from emberline import etl as nvt
from emberline.dataloaders import Loader as OurLoader
from emberline.dataloaders.merlin import KerasSequenceLoader, KerasSequenceValidater, Loader
from emberline.errors import DataError
from emberline.etl import ops
from tests.dataloaders.recorder import Recorder
from tests.dataloaders.test_files import write_dataset

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


@pytest.fixture
def data(write_files: WriteFiles, tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", write_files([[13, 9, 14], [11, 12]]))


def ids(batches: Any) -> list[list[int]]:
    return [x["id"].numpy().tolist() for x, _ in batches]


def test_batches_are_merlins(data: Path) -> None:
    loader = Loader(str(data), batch_size=8, shuffle=True, seed_fn=lambda: 7)
    ours = OurLoader(data, 8, shuffle=True, seed=7)
    assert len(loader) == 8
    for _ in range(2):
        for (x, y), (arrays, target) in zip(loader, ours, strict=True):
            assert list(x) == ["id", "tags__values", "tags__offsets"]
            assert x["tags__offsets"].dtype == tf.int64
            for name, tensor in x.items():
                assert tensor.numpy().tolist() == arrays[name].tolist()
            assert y.shape == (len(target),)
            assert y.numpy().tolist() == target.tolist()
    without = Loader(str(data), 8)
    without.input_schema = without.input_schema.without(["label"])
    assert next(without)[1] is None


def test_epochs_peek_next_and_stop(data: Path) -> None:
    loader = Loader(data, 30)
    first = list(range(30))
    assert ids([loader.peek()]) == [first]
    assert ids([next(loader), next(loader)]) == [first, list(range(30, 59))]
    with pytest.raises(StopIteration):
        next(loader)
    assert ids([next(loader)]) == [first]
    loader.stop()
    assert len(list(loader.epochs(3))) == 6
    assert len(Loader(data, 30, drop_last=True)) == 1


def test_map_changes_the_loader_and_chains(data: Path) -> None:
    loader = Loader(data, 30)
    loader.map(lambda x, y: (x["id"], y)).map(lambda ids, y: (ids + 1, y))
    assert loader.peek()[0].numpy().tolist() == list(range(1, 31))


def test_ranks(data: Path) -> None:
    parts = [Loader(data, 8, global_size=2, global_rank=rank) for rank in range(2)]
    assert [len(part) for part in parts] == [4, 4]
    assert sorted(i for part in parts for batch in ids(part) for i in batch) == list(range(59))


def test_data_set_objects_and_transforms(data: Path) -> None:
    dataset = nvt.Dataset([str(file) for file in sorted(data.glob("*.parquet"))])
    workflow = nvt.Workflow(["id"] >> ops.Categorify())
    derived = workflow.fit_transform(dataset)
    loader = Loader(derived, 100)
    assert loader.peek()[0]["id"].numpy().tolist() == derived.to_polars()["id"].to_list()
    inside = Loader(data, 100, transforms=workflow)
    assert inside.peek()[0]["id"].numpy().tolist() == derived.to_polars()["id"].to_list()
    assert inside.output_schema.names == ["id", "label"]
    assert inside.input_schema.names == ["id", "tags", "label"]
    assert inside.input_schema["tags"].is_ragged
    added = Loader(data, 100, transforms=[lambda x: {**x, "more": np.stack([x["id"]] * 2, axis=1)}])
    assert added.output_schema.names == ["id", "tags", "more", "label"]
    assert added.output_schema["more"].is_list
    assert not added.output_schema["more"].is_ragged
    fixed = nvt.Dataset(
        pl.DataFrame({"p": [[1, 2], [3, 4]]}),
        schema=nvt.Schema([nvt.ColumnSchema("p", "int64", is_list=True)]),
    )
    assert Loader(fixed, 2).peek()[0]["p"].numpy().tolist() == [[1, 2], [3, 4]]


def test_input_schema_is_set_before_the_start_only(data: Path) -> None:
    loader = Loader(data, 8)
    loader.input_schema = loader.schema.select(["tags", "label"])
    assert list(loader.peek()[0]) == ["tags__values", "tags__offsets"]
    next(loader)
    with pytest.raises(DataError, match="only be set before the first batch"):
        loader.input_schema = loader.schema


def test_the_older_names(write_files: WriteFiles) -> None:
    files = [str(file) for file in write_files([[5, 4]])]
    loader = KerasSequenceLoader(
        files,
        batch_size=4,
        label_names=["label"],
        cat_names=["id", "tags"],
        cont_names=["price"],
        engine="parquet",
        shuffle=False,
        buffer_size=0.06,
        parts_per_chunk=1,
    )
    x, y = next(loader)
    assert list(x) == ["id", "tags__values", "tags__offsets", "price"]
    assert y.numpy().tolist() == [0, 1, 0, 1]
    everything = KerasSequenceLoader(files, 4, label_names=["label"], shuffle=False)
    assert "name" in everything.peek()[0]
    tagged = KerasSequenceLoader(files, 4, shuffle=False, schema=loader.input_schema)
    assert list(tagged.peek()[0]) == list(x)
    for arguments, message in (
        ({"feature_columns": [1]}, "Keras 3 has none; name columns in cat_names"),
        ({"engine": "csv"}, "engine is 'csv'; only parquet is read"),
        ({"sparse_as_dense": True}, "pad in the workflow"),
        ({"sparse_max": {"tags": 3}}, "cut or pad in the workflow"),
        ({"reader_kwargs": {"a": 1}}, "our Loader takes storage_options"),
    ):
        with pytest.raises(DataError, match=message):
            KerasSequenceLoader(files, 4, **arguments)


def test_fit_keeps_the_loaders_order_even_with_its_default_shuffle(data: Path) -> None:
    random.seed(1)
    model = Recorder()
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    loader = KerasSequenceLoader(str(data), 8, seed_fn=lambda: 3)
    validation = Loader(data, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(loader, epochs=2, validation_data=validation, verbose=0)
    expected = [x["id"].tolist() for x, _ in OurLoader(data, 8, shuffle=True, seed=3).epochs(2)]
    assert model.seen == expected
    assert np.isfinite(model.evaluate(validation, verbose=0))
    history = model.fit(loader, callbacks=[KerasSequenceValidater(validation)], verbose=0)
    assert history.history["val_loss"] == [
        pytest.approx(model.evaluate(validation, verbose=0), rel=1e-5)
    ]
    assert model.predict(validation, verbose=0).shape == (59, 1)
    gc.collect()
