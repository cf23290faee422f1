import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from emberline import etl as nvt
from emberline.dataloaders import Loader
from emberline.errors import DataError
from emberline.etl import ops

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


def doubled(x: dict[str, Any]) -> dict[str, Any]:
    return {**x, "double": x["id"] * 2}


def only_double(x: dict[str, Any]) -> dict[str, Any]:
    return {"double": x["double"] + 1}


@pytest.fixture
def files(write_files: WriteFiles) -> list[Path]:
    return write_files([[13, 9], [11]])


def test_steps_run_in_order_on_the_features(files: list[Path]) -> None:
    loader = Loader(
        files, 8, columns=["id"], targets="label", shuffle=True, transforms=[doubled, only_double]
    )
    plain = Loader(files, 8, columns=["id"], targets="label", shuffle=True)
    for (x, y), (other, z) in zip(loader, plain, strict=True):
        assert list(x) == ["double"]
        assert x["double"].tolist() == (other["id"] * 2 + 1).tolist()
        assert y.tolist() == z.tolist()
    assert list(loader.peek()[0]) == ["double"]
    assert [form.name for form in loader.feature_formats] == ["id"]


def test_a_fitted_workflow_is_a_step(files: list[Path]) -> None:
    data = nvt.Dataset([str(file) for file in files])
    graph = (["name"] >> ops.Categorify()) + (["price"] >> ops.LogOp()) + ["tags", "pair"]
    workflow = nvt.Workflow(graph)
    workflow.fit(data)
    loader = Loader(files, 8, targets="label", transforms=[workflow])
    expected = workflow.transform(data).to_polars()
    parts = [pl.DataFrame(table) for table in loader.as_arrow()]
    assert [part.height for part in parts] == [8, 8, 8, 8, 1]
    whole = pl.concat(parts)
    for name in ("name", "price", "pair"):
        assert whole[name].to_list() == expected[name].to_list()
    # A null list is an empty one in a batch.
    assert whole["tags"].to_list() == [tags or [] for tags in expected["tags"].to_list()]
    assert whole.columns[-1] == "label"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x: 1 / 0, r"transforms\[1\] \(.*<lambda>\) failed: division by zero"),
        (lambda x: x["id"], r"transforms\[1\].* it gave a ndarray; expected arrays by name"),
        (
            lambda x: {"id": x["id"][:-1]},
            r"transforms\[1\] .* gave arrays of \[7\] rows for \[8\]; a step keeps the rows",
        ),
    ],
)
def test_a_step_that_fails_is_named(files: list[Path], step: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        next(iter(Loader(files, 8, transforms=[doubled, step])))


def test_steps_run_in_the_threads(files: list[Path]) -> None:
    names = set()

    def note(x: dict[str, Any]) -> dict[str, Any]:
        names.add(threading.current_thread().name)
        return x

    list(Loader(files, 8, transforms=[note]))
    assert all(name.startswith("emberline-read") for name in names)
    list(Loader(files, 8, transforms=[note], prefetch_bytes=0))
    assert threading.current_thread().name in names


def test_a_failing_batch_comes_after_those_before_it(files: list[Path]) -> None:
    def step(x: dict[str, Any]) -> dict[str, Any]:
        if 16 in x["id"]:
            raise ValueError("not this one")
        return x

    for prefetch_bytes in (0, 2**20):
        batches = iter(Loader(files, 8, transforms=[step], prefetch_bytes=prefetch_bytes))
        assert next(batches)[0]["id"].tolist() == list(range(8))
        with pytest.raises(DataError, match="not this one"):
            list(batches)


def test_a_step_cannot_replace_the_target(files: list[Path]) -> None:
    loader = Loader(files, 8, targets="label", transforms=[lambda x: {**x, "label": x["id"]}])
    with pytest.raises(DataError, match="gave 'label', which is a target's or the weights'"):
        next(iter(loader))


def test_tensors_and_lists_become_arrays(files: list[Path]) -> None:
    loader = Loader(files, 8, columns=["id"], transforms=[lambda x: {"id": x["id"].tolist()}])
    assert loader.peek()[0]["id"].tolist() == list(range(8))


def test_what_is_no_step(files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"transforms\[0\] \(int\) is 3; expected a function"):
        Loader(files, 8, transforms=[3])
    with pytest.raises(DataError, match=r"transforms is <function .*; expected a list of steps"):
        Loader(files, 8, transforms=doubled)  # type: ignore[arg-type]


def double(x: dict[str, Any], y: Any) -> tuple[Any, Any]:
    return x["id"] * 2, y


def total(ids: Any, y: Any) -> int:
    return int(ids.sum())


def test_map_is_a_view_with_the_loaders_position(files: list[Path]) -> None:
    loader = Loader(files, 8, targets="label", shuffle=True)
    view = loader.map(double)
    plain = [x["id"].tolist() for x, _ in Loader(files, 8, targets="label", shuffle=True)]
    assert len(view) == len(loader) == 5
    seen = [(ids // 2).tolist() for ids, _ in itertools.islice(view, 2)]
    assert (loader.epoch, loader.batch) == (view.epoch, view.batch) == (0, 2)
    ids, _ = view.peek()
    assert (ids // 2).tolist() == plain[2]
    again = Loader(files, 8, targets="label", shuffle=True).map(double)
    again.load_state_dict(view.state_dict())
    assert again.first_batch == 2
    seen += [(ids // 2).tolist() for ids, _ in again]
    assert seen == plain
    again.set_epoch(0)
    assert len(list(again.epochs(2))) == 10
    assert again.epoch == 2
    assert repr(view).endswith(", at epoch 0, batch 2).map(double)")


def test_maps_chain_and_may_give_anything(files: list[Path]) -> None:
    sums = list(Loader(files, 8, targets="label").map(double).map(total).map(str))
    assert sums == ["56", "184", "312", "440", "64"]


def test_weights_reach_a_mapped_function(files: list[Path]) -> None:
    loader = Loader(files, 99, targets="label", weights="price")
    ((weights,),) = loader.map(lambda x, y, w: (w,))
    assert weights.tolist() == (np.arange(33) / 2).tolist()


def test_read_epoch_leaves_the_position(files: list[Path]) -> None:
    loader = Loader(files, 8, columns=["id"], shuffle=True)
    epochs = [[x["id"].tolist() for x, _ in loader] for _ in range(3)]
    for epoch, first in itertools.product(range(3), range(5)):
        read = [x["id"].tolist() for x, _ in loader.read_epoch(epoch, first)]
        assert read == epochs[epoch][first:]
    assert (loader.epoch, loader.batch) == (3, 0)
    with pytest.raises(DataError, match="batch 5 does not exist: an epoch has 5 batches"):
        loader.read_epoch(0, 5)


def test_arrow_batches_share_memory_and_hold_every_column(files: list[Path]) -> None:
    loader = Loader(files, 8, targets=["label", "tags"], weights="price", shuffle=True)
    plain = list(Loader(files, 8, targets=["label", "tags"], weights="price", shuffle=True))
    tables = list(loader.as_arrow())
    assert loader.epoch == 1
    names = ["id", "flag", "name", "pair", "label", "tags", "price"]
    for table, (x, y, w) in zip(tables, plain, strict=True):
        assert table.column_names == names
        assert table["id"].to_pylist() == x["id"].tolist()
        assert table["pair"].to_pylist() == x["pair"].tolist()
        assert table["label"].to_pylist() == y["label"].tolist()
        assert table["tags"].combine_chunks().flatten().to_pylist() == y["tags__values"].tolist()
        assert table["price"].to_pylist() == w.tolist()
        assert table.schema.field("label").type == pa.int8()
    (table,) = Loader(files, 99, columns=["id"]).as_arrow()
    assert table.column_names == ["id"]
    assert table["id"].chunk(0).buffers()[1].address % 64 == 0
