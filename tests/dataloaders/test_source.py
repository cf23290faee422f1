from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emberline.dataloaders import Loader, MissingColumnError, ParquetFileError
from emberline.errors import DataError

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


def write(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_and_targets(write_files: WriteFiles) -> None:
    files = write_files([[4]])
    ((x, y),) = Loader(files, 9, columns=["tags", "id"], targets="label")
    assert list(x) == ["tags__values", "tags__offsets", "id"]
    assert y is not None
    ((x, y),) = Loader(files, 9, columns=["id", "label"], targets=["label", "price"])
    assert list(x) == ["id"]
    assert isinstance(y, dict)
    assert {name: array.tolist() for name, array in y.items()} == {
        "label": [0, 1, 0, 1],
        "price": [0.0, 0.5, 1.0, 1.5],
    }
    ((x, y),) = Loader(files, 9, columns=["id"], targets="tags")
    assert isinstance(y, dict)
    assert sorted(y) == ["tags__offsets", "tags__values"]
    ((x, y),) = Loader(files, 9)
    assert (len(x), y) == (8, None)


def test_missing_columns(write_files: WriteFiles) -> None:
    files = write_files([[4]])
    with pytest.raises(MissingColumnError, match=r"'pric' is not in .*; did you mean 'price'?"):
        Loader(files, 2, columns=["pric"])
    with pytest.raises(KeyError, match=r"column 'labels' is not in .*part_0.parquet; did you mean"):
        Loader(files, 2, targets="labels")
    with pytest.raises(DataError, match="columns names 'id' twice"):
        Loader(files, 2, columns=["id", "id"])
    with pytest.raises(DataError, match="no columns to load"):
        Loader(files, 2, columns=[])


def test_files_that_differ(tmp_path: Path) -> None:
    one = write(tmp_path / "1.parquet", {"a": [1], "b": [1]})
    two = write(tmp_path / "2.parquet", {"a": [1], "b": [1.5]})
    three = write(tmp_path / "3.parquet", {"a": [1]})
    four = write(tmp_path / "4.parquet", {"b": [2], "a": [2], "c": [2]})
    with pytest.raises(
        DataError, match=r"column 'b' is float64 in .*2.parquet but int64 in .*1.parquet"
    ):
        Loader([one, two], 2)
    with pytest.raises(MissingColumnError, match=r"'b' is not in .*3.parquet; known: a"):
        Loader([one, three], 2)
    with pytest.raises(DataError, match=r"'c' is in .*4.parquet but not in .*1.parquet"):
        Loader([one, four], 2)
    ((x, _),) = Loader([one, four], 2, columns=["a", "b"])
    assert (x["a"].tolist(), x["b"].tolist()) == ([1, 2], [1, 2])
    ((x, _),) = Loader([one, two, three], 3, columns=["a"])
    assert x["a"].tolist() == [1, 1, 1]


def test_text_types_of_different_writers_agree(tmp_path: Path) -> None:
    one = write(tmp_path / "1.parquet", {"a": pa.array(["x"], pa.large_string())})
    two = write(tmp_path / "2.parquet", {"a": pa.array(["y"]).dictionary_encode()})
    ((x, _),) = Loader([one, two], 2)
    assert x["a"].tolist() == ["x", "y"]


def test_names_that_clash(tmp_path: Path) -> None:
    file = write(tmp_path / "1.parquet", {"a": [[1]], "a__values": [1]})
    with pytest.raises(DataError, match="'a' and 'a__values' would both be 'a__values'"):
        Loader(file, 2)
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, tmp_path / "2.parquet")
    with pytest.raises(DataError, match="has 2 columns named 'a'"):
        Loader(tmp_path / "2.parquet", 2, columns=["a"])


def test_names_with_dots(tmp_path: Path) -> None:
    file = write(tmp_path / "1.parquet", {"a": [[1], [2]], "a.b": [3, 4], "a.list": [5, 6]})
    ((x, _),) = Loader(file, 2, columns=["a", "a.b"])
    assert list(x) == ["a__values", "a__offsets", "a.b"]
    assert (x["a__values"].tolist(), x["a.b"].tolist()) == ([1, 2], [3, 4])


def test_no_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "1.parquet", {"a": pa.array([], pa.int64())})
    with pytest.raises(DataError, match=r"no rows in 1 parquet .*1.parquet"):
        Loader(file, 2)


def test_nulls_name_file_and_row_group(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", {"a": [1, 2, 3, 4]})
    table = pa.table({"a": [5, 6, 7, None]})
    pq.write_table(table, tmp_path / "2.parquet", row_group_size=2)
    batches = iter(Loader(tmp_path, 2))
    got = [next(batches)[0]["a"].tolist() for _ in range(3)]
    assert got == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(
        DataError, match=r"2.parquet, row group 1: column 'a' has 1 null values.*FillMissing"
    ):
        next(batches)


@pytest.mark.parametrize("keep", [0, 3, 11, 0.5, 0.99])
def test_truncated_files(write_files: WriteFiles, keep: float) -> None:
    file, other = write_files([[20], [20]])
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(ParquetFileError, match=r"part_0.parquet is not a complete parquet file"):
        Loader([other, file], 2)


@pytest.mark.parametrize("prefetch_bytes", [0, 2**20])
def test_damaged_pages(tmp_path: Path, prefetch_bytes: int) -> None:
    file = tmp_path / "1.parquet"
    table = pa.table({"a": list(range(3000))})
    pq.write_table(table, file, row_group_size=1000, use_dictionary=False, write_page_checksum=True)
    content = bytearray(file.read_bytes())
    column = pq.read_metadata(file).row_group(1).column(0)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    file.write_bytes(content)
    batches = iter(Loader(file, 1000, prefetch_bytes=prefetch_bytes))
    assert next(batches)[0]["a"].tolist() == list(range(1000))
    with pytest.raises(ParquetFileError, match=r"1.parquet, row group 1 cannot be read \(.*CRC"):
        next(batches)
    assert list(batches) == []


def test_files_that_vanish_or_change_while_in_use(write_files: WriteFiles) -> None:
    first, second = write_files([[4], [4]])
    loader = Loader([first, second], 4)
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(ParquetFileError, match=r"part_1.parquet, row group 0 cannot be read"):
        list(loader)
    second.write_bytes(content[:-1])
    with pytest.raises(ParquetFileError, match=r"part_1.parquet, row group 0 .* was replaced"):
        list(loader)
    second.write_bytes(bytes(len(content)))
    with pytest.raises(ParquetFileError, match=r"part_1.parquet, row group 0 cannot be read"):
        list(loader)
    second.write_bytes(content)
    assert len(list(loader)) == 2


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a,b\n1,2\n" * 20)
    with pytest.raises(ParquetFileError, match=f"{name} is not a complete parquet file"):
        Loader(tmp_path / name, 2)


def test_weights(write_files: WriteFiles) -> None:
    files = write_files([[4], [3]])
    loader = Loader(files, 3, columns=["id", "price"], targets="label", weights="price")
    batches = list(loader)
    assert [x["id"].tolist() for x, _, _ in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(list(x) == ["id"] for x, _, _ in batches)
    assert [w.tolist() for _, _, w in batches] == [[0.0, 0.5, 1.0], [1.5, 2.0, 2.5], [3.0]]
    assert [y.tolist() for _, y, _ in batches] == [[0, 1, 0], [1, 0, 1], [0]]
    assert str(loader.weight_format) == "float32"
    assert "price" not in [
        form.name for form in Loader(files, 3, targets="label", weights="price").feature_formats
    ]
    with pytest.raises(DataError, match="weights='price' without a target"):
        Loader(files, 3, weights="price")
    with pytest.raises(DataError, match="'label' is given as target and as weights"):
        Loader(files, 3, targets="label", weights="label")
    with pytest.raises(DataError, match=r"weights 'tags' are int64\[ragged\]; expected one number"):
        Loader(files, 3, targets="label", weights="tags")
    with pytest.raises(MissingColumnError, match=r"'prize' is not in .*; did you mean 'price'?"):
        Loader(files, 3, targets="label", weights="prize")


def test_a_footer_longer_than_the_first_read(tmp_path: Path) -> None:
    file = write(tmp_path / "1.parquet", {f"column_{i:04}": [i] for i in range(1500)})
    footer_bytes = int.from_bytes(file.read_bytes()[-8:-4], "little")
    assert footer_bytes > 65536
    ((x, _),) = Loader(file, 1)
    assert [array.tolist() for array in x.values()] == [[i] for i in range(1500)]
    copy = tmp_path / "2.parquet"
    copy.write_bytes(file.read_bytes()[footer_bytes:])  # says a footer longer than the file
    with pytest.raises(ParquetFileError, match=r"2\.parquet is not a complete parquet file"):
        Loader(copy, 1)
