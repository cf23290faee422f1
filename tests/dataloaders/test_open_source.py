from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from emberline import etl as nvt
from emberline.dataloaders import Loader
from emberline.errors import DataError
from emberline.etl import ops

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]

FRAME = pl.DataFrame({"a": [3, 1, 2], "l": [[1], [], [2, 3]], "y": [0, 1, 0]})


def only(loader: Loader) -> Any:
    ((x, y),) = loader
    return {name: array.tolist() for name, array in x.items()}, y.tolist()


def test_a_data_set_of_files_is_read_from_them(tmp_path: Path) -> None:
    written = nvt.Dataset(FRAME).to_parquet(tmp_path / "d", labels=["y"])
    expected = ({"a": [3, 1, 2], "l__values": [1, 2, 3], "l__offsets": [0, 1, 1, 3]}, [0, 1, 0])
    for data in (written, nvt.Dataset(tmp_path / "d"), tmp_path / "d"):
        loader = Loader(data, 9)
        assert repr(loader).startswith("Loader(1 files, 3 rows")
        assert only(loader) == expected
        assert loader.schema["y"].tags == {"target"}
        assert loader.schema.names == ["a", "l", "y"]
    # One position for all of them: the files are the same.
    state = Loader(written, 2).state_dict()
    Loader(tmp_path / "d", 2).load_state_dict(state)


def test_rows_that_are_in_no_file_come_from_memory(tmp_path: Path) -> None:
    data = nvt.Dataset(FRAME).to_parquet(tmp_path / "d", labels=["y"])
    derived = nvt.Workflow((["a"] >> ops.LambdaOp(lambda c: c + 1)) + ["y"]).fit_transform(data)
    cast = nvt.Dataset(tmp_path / "d", dtypes={"a": "float32"})
    for dataset, expected in ((derived, {"a": [4, 2, 3]}), (cast, {"a": [3.0, 1.0, 2.0]})):
        loader = Loader(dataset, 9, columns=["a"])
        assert repr(loader).startswith("Loader(a frame, 3 rows")
        assert only(loader) == (expected, [0, 1, 0])


def test_lists_that_the_schema_calls_fixed() -> None:
    schema = nvt.Schema([nvt.ColumnSchema("p", "int64", is_list=True)])
    fixed = nvt.Dataset(pl.DataFrame({"p": [[1, 2], [3, 4]]}), schema=schema)
    ((x, _),) = Loader(fixed, 2)
    assert x["p"].tolist() == [[1, 2], [3, 4]]
    shorter = nvt.Dataset(pl.DataFrame({"p": [[1, 2], [3]]}), schema=schema)
    with pytest.raises(
        DataError, match="list of length 1 at row 1; its lists must all have length"
    ):
        list(Loader(shorter, 2))


def test_the_schema_of_bare_files(write_files: WriteFiles) -> None:
    schema = Loader(write_files([[3]]), 2, columns=["tags", "pair", "name"], targets="id").schema
    assert [str(c.dtype) for c in schema] == ["int64", "int32", "string", "int64"]
    assert [c.is_ragged for c in schema] == [True, False, False, False]
    assert schema["pair"].is_list


def test_what_is_no_data() -> None:
    with pytest.raises(DataError, match=r"data is a LazyFrame, a plan without rows; give its col"):
        Loader(FRAME.lazy(), 2)
    with pytest.raises(DataError, match="data is a int; expected paths, a Polars or pandas frame"):
        Loader(3, 2)
    with pytest.raises(DataError, match="data is a list; expected paths"):
        Loader([FRAME], 2)
