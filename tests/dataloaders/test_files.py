from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emberline.artifacts import write_directory
from emberline.dataloaders import DatasetNotFoundError, Loader
from emberline.dataloaders.files import find_files
from emberline.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactVersionError,
    DataError,
)
from emberline.etl.schema import ColumnSchema, Schema

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]

SCHEMA = Schema(
    [
        ColumnSchema("id", "int64"),
        ColumnSchema("tags", "int64", is_list=True, is_ragged=True),
        ColumnSchema("label", "int8", tags=frozenset(["target"])),
    ]
)


def write_dataset(path: Path, files: list[Path], schema: Schema = SCHEMA) -> Path:
    with write_directory(path, kind="dataset", version=1) as staging:
        for number, file in enumerate(files):
            (staging.path / f"part_{number}.parquet").write_bytes(file.read_bytes())
        schema.save(staging.path / "schema.json")
        (staging.path / "_file_list.txt").write_text("...")
    return path


def test_a_directory_comes_in_natural_order(write_files: WriteFiles, tmp_path: Path) -> None:
    files = write_files([[1]] * 12)
    (tmp_path / "_metadata.parquet").write_bytes(b"not data")
    (tmp_path / ".hidden.parquet").write_bytes(b"not data")
    assert list(find_files(tmp_path).files) == files
    assert list(find_files(str(tmp_path / "part_*.parquet")).files) == files
    assert list(find_files(files[::-1]).files) == files[::-1]
    assert find_files(files[0]).files == (files[0],)


def test_a_pattern_reaches_into_subdirectories(write_files: WriteFiles, tmp_path: Path) -> None:
    (tmp_path / "day=2").mkdir()
    (tmp_path / "day=10").mkdir()
    for name in ("day=10/a.parquet", "day=2/a.parquet"):
        (tmp_path / name).write_bytes(write_files([[1]])[0].read_bytes())
    found = find_files(tmp_path / "day=*" / "*.parquet").files
    assert [Path(str(file)).parent.name for file in found] == ["day=2", "day=10"]


def test_a_dataset_gives_its_columns_and_target(write_files: WriteFiles, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "data", write_files([[3], [2, 2]]))
    loader = Loader(path, 7)
    ((x, y),) = loader
    assert sorted(x) == ["id", "tags__offsets", "tags__values"]
    assert x["id"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert y is not None
    assert not isinstance(y, dict)
    assert y.tolist() == [0, 1, 0, 1, 0, 1, 0]
    ((x, none),) = Loader(path, 7, targets=[])
    assert (sorted(x), none) == (["id", "label", "tags__offsets", "tags__values"], None)


def test_a_list_that_the_schema_calls_fixed(tmp_path: Path) -> None:
    pairs = pa.array([[i, i + 1] for i in range(4)])
    pq.write_table(pa.table({"id": [0, 1, 2, 3], "pair": pairs}), tmp_path / "in.parquet")
    for properties in ({"value_count": {"min": 2, "max": 2}}, {}):
        schema = Schema([ColumnSchema("pair", "int64", is_list=True, properties=properties)])
        path = write_dataset(tmp_path / "data", [tmp_path / "in.parquet"], schema)
        ((x, _),) = Loader(path, 4)
        assert x["pair"].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
        assert list(x) == ["pair"]
    wrong = Schema(
        [ColumnSchema("pair", is_list=True, properties={"value_count": {"min": 3, "max": 3}})]
    )
    path = write_dataset(tmp_path / "data", [tmp_path / "in.parquet"], wrong)
    with pytest.raises(DataError, match=r"part_0.parquet, row group 0: .*'pair'.* length 3"):
        list(Loader(path, 4))
    scalar = write_dataset(
        tmp_path / "data", [tmp_path / "in.parquet"], Schema([ColumnSchema("pair")])
    )
    with pytest.raises(DataError, match=r"'pair' holds lists in .*, its schema says it does not"):
        Loader(scalar, 4)


def test_a_replacement_that_was_cut_short(write_files: WriteFiles, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "data", write_files([[3]]))
    path.rename(tmp_path / ".data.previous")  # as a process killed between two renames leaves it
    ((x, _),) = Loader(path, 4)
    assert x["id"].tolist() == [0, 1, 2]


def test_several_datasets(write_files: WriteFiles, tmp_path: Path) -> None:
    files = write_files([[3], [2]])
    one = write_dataset(tmp_path / "one", files[:1])
    two = write_dataset(tmp_path / "two", files[1:])
    ((x, _),) = Loader([one, two], 9)
    assert x["id"].tolist() == [0, 1, 2, 3, 4]
    other = write_dataset(tmp_path / "other", files[1:], SCHEMA.select(["id"]))
    with pytest.raises(DataError, match="other has another schema than the dataset before it"):
        Loader([one, other], 9)


def test_damaged_datasets(write_files: WriteFiles, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "data", write_files([[3]]))
    part = path / "part_0.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ArtifactCorruptError, match=r"part_0.parquet has \d+ bytes, the manifest"):
        Loader(path, 2)
    (path / "_manifest.json").unlink()
    with pytest.raises(ArtifactMissingError, match=r"no complete dataset at .*interrupted save"):
        Loader(path, 2)
    with write_directory(tmp_path / "model", kind="model", version=1) as staging:
        (staging.path / "x").write_text("x")
    with pytest.raises(ArtifactVersionError, match="holds a model, expected a dataset"):
        Loader(tmp_path / "model", 2)
    with write_directory(tmp_path / "empty", kind="dataset", version=1) as staging:
        SCHEMA.save(staging.path / "schema.json")
    with pytest.raises(DatasetNotFoundError, match=r"the dataset .*empty holds no parquet files"):
        Loader(tmp_path / "empty", 2)


def test_nothing_there(tmp_path: Path, write_files: WriteFiles) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file or directory: .*absent"):
        Loader(tmp_path / "absent", 2)
    with pytest.raises(DatasetNotFoundError, match=r"no file matches '.*\*.csv'"):
        Loader(str(tmp_path / "*.csv"), 2)
    (tmp_path / "dir").mkdir()
    with pytest.raises(DatasetNotFoundError, match=r"dir holds no \*.parquet files; for files in"):
        Loader(tmp_path / "dir", 2)
    with pytest.raises(DatasetNotFoundError, match="an empty list of files"):
        Loader([], 2)
    (file,) = write_files([[1]])
    with pytest.raises(DataError, match=r"part_0.parquet is given twice"):
        Loader([file, file], 2)
