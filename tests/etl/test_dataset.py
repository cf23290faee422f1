"""Reading: what is accepted, what is refused, and who is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.artifacts import MANIFEST
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, DataError
from emberline.etl import ops
from emberline.etl.schema import ColumnSchema, Schema

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})


def damage(file: Path) -> None:
    """Overwrite the pages of a parquet file, not its footer."""
    data = bytearray(file.read_bytes())
    data[4:200] = b"\xff" * 196
    file.write_bytes(data)


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "file", "directory", "glob", "list"])
def test_sources(tmp_path: Path, kind: str) -> None:
    for i in range(3):
        FRAME[i : i + 1].write_parquet(tmp_path / f"part_{i + 8}.parquet")
    (tmp_path / "README.txt").write_text("not data")
    FRAME.write_parquet(tmp_path / "whole.pq")
    makers: dict[str, Callable[[], Any]] = {
        "polars": lambda: FRAME,
        "lazy": FRAME.lazy,
        "arrow": FRAME.to_arrow,
        "file": lambda: str(tmp_path / "whole.pq"),
        "directory": lambda: tmp_path,
        "glob": lambda: str(tmp_path / "part_*.parquet"),
        "list": lambda: [tmp_path / f"part_{i}.parquet" for i in (8, 9, 10)],
    }
    data = nvt.Dataset(makers[kind]())
    assert data.schema == Schema([ColumnSchema("a"), ColumnSchema("b", "string")])
    assert data.num_rows == len(data) == 3
    assert data.head(1).rows() == [(1, "x")]
    # part_10 comes after part_9.
    assert data.to_polars().equals(FRAME)
    assert data.to_lazy().collect().equals(FRAME)


def test_csv(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "a.csv")
    assert nvt.Dataset(tmp_path).to_polars().equals(FRAME)
    assert nvt.Dataset(tmp_path / "a.csv").num_rows == 3
    FRAME.write_csv(tmp_path / "a.txt")
    text = nvt.Dataset(tmp_path / "a.txt", engine="csv", dtypes={"a": "string"})
    assert text.to_polars()["a"].to_list() == ["1", "2", "3"]
    with pytest.raises(nvt.ColumnNotFoundError, match=r"dtypes names a column 'A'.*mean 'a'"):
        nvt.Dataset(tmp_path / "a.csv", dtypes={"A": "string"})


def test_a_schema_selects_and_tags() -> None:
    schema = Schema([ColumnSchema("b", "string", tags=frozenset({"item"}))])
    data = nvt.Dataset(FRAME, schema=schema)
    assert data.to_polars().columns == ["b"]
    assert data.schema == schema
    with pytest.raises(nvt.ColumnNotFoundError, match="a column 'B' that the data has not; did"):
        nvt.Dataset(FRAME, schema=Schema(["B"]))


def test_dtypes_in_the_schema() -> None:
    frame = pl.DataFrame(
        {
            "list": [[1.5]],
            "fixed": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)),
            "time": pl.Series([None], dtype=pl.Datetime("ms", "UTC")),
            "text": pl.Series(["a"], dtype=pl.Categorical),
            "money": pl.Series([None], dtype=pl.Decimal(10, 2)),
            "deep": [[[1]]],
        }
    )
    found = {c.name: (c.dtype, c.is_list, c.is_ragged) for c in nvt.Dataset(frame).schema}
    assert found["list"] == ("float64", True, True)
    assert found["fixed"] == ("int8", True, False)
    assert found["time"] == ("datetime64[ms, UTC]", False, False)
    assert found["text"] == ("string", False, False)
    assert found["money"] == ("decimal(10, 2)", False, False)
    # What cannot be used can still lie in the same file.
    columns = ["list", "fixed", "time", "money", "text"]
    out = nvt.Workflow(columns).fit_transform(frame)
    assert out.equals(frame.select(columns).cast({"text": pl.String}))
    with pytest.raises(DataError, match=r"column 'deep' has dtype List.* do not carry; flatten it"):
        nvt.Workflow(["deep"]).fit(frame)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: 3, "a data set is made from a path.*got int"),
        (lambda _: [], "the list of files is empty"),
        (lambda p: p / "absent.parquet", "absent.parquet: no such file"),
        (lambda p: p / "*.parquet", "no file matches it as a pattern"),
        (lambda p: p, "holds no parquet, csv or ipc file"),
    ],
)
def test_no_source(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        nvt.Dataset(make(tmp_path))
    FRAME.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"engine must be 'parquet', 'csv', 'ipc' or None, got 'x"):
        nvt.Dataset(tmp_path, engine="xml")
    with pytest.raises(nvt.UnsupportedError, match="'avro' is not offered; convert"):
        nvt.Dataset(tmp_path, engine="avro")


def test_empty_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    for name, data, message in (
        ("empty.parquet", b"", r"empty\.parquet \(0 bytes\) is empty"),
        ("cut.parquet", whole[:-20], r"cut\.parquet .* truncated, damaged or not"),
        ("text.parquet", b"a,b\n1,2\n", r"text\.parquet .* not a parquet file"),
        ("empty.csv", b"", r"empty\.csv is empty"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message):
            nvt.Dataset(
                [tmp_path / "good.parquet", tmp_path / name]
                if name.endswith("parquet")
                else tmp_path / name
            )


def test_damaged_pages_are_found_and_the_file_named(tmp_path: Path) -> None:
    wide = pl.DataFrame({"a": range(5000), "b": [f"row {i}" for i in range(5000)]})
    for i in range(3):
        wide.write_parquet(tmp_path / f"{i}.parquet")
    damage(tmp_path / "1.parquet")
    data = nvt.Dataset(tmp_path)
    workflow = nvt.Workflow(["a", "b"] >> ops.Categorify())
    for act in (
        data.to_polars,
        lambda: workflow.fit(data),
        lambda: data.to_parquet(tmp_path / "out"),
    ):
        with pytest.raises(DataError, match=r"1\.parquet cannot be read, .* damaged; restore it"):
            act()
    assert not (tmp_path / "out").exists()
    (tmp_path / "1.parquet").unlink()
    with pytest.raises(DataError, match=r"1\.parquet has disappeared"):
        data.to_polars()


def test_files_with_other_columns_are_named(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "0.parquet")
    FRAME.cast({"a": pl.String}).write_parquet(tmp_path / "1.parquet")
    with pytest.raises(
        DataError, match=r"1\.parquet has other columns.*'a' is String instead of I"
    ):
        nvt.Dataset(tmp_path)
    FRAME.drop("b").write_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet has other columns.*'b' is None instead"):
        nvt.Dataset(tmp_path)


def test_values_that_contradict_the_first_rows_of_a_csv(tmp_path: Path) -> None:
    rows = "\n".join([*map(str, range(10_001)), "oops"])
    (tmp_path / "a.csv").write_text(f"n\n{rows}\n")
    with pytest.raises(DataError, match=r"cannot be processed .*a\.csv"):
        nvt.Dataset(tmp_path / "a.csv").to_polars()
    text = nvt.Dataset(tmp_path / "a.csv", dtypes={"n": "string"})
    assert text.num_rows == 10_002


def test_our_own_directory_is_checked(tmp_path: Path) -> None:
    nvt.Dataset(FRAME).to_parquet(tmp_path / "d", output_files=2, labels=["a"])
    data = nvt.Dataset(tmp_path / "d")
    assert data.schema["a"].tags == {"target"}
    assert [file.name for file in data.files] == ["part_0.parquet", "part_1.parquet"]
    # A file beside the parts that the manifest does not know is not read.
    FRAME.write_parquet(tmp_path / "d" / "part_9.parquet")
    assert nvt.Dataset(tmp_path / "d").num_rows == 3
    part = tmp_path / "d" / "part_1.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ArtifactCorruptError, match=r"part_1\.parquet has .* bytes"):
        nvt.Dataset(tmp_path / "d")
    part.unlink()
    with pytest.raises(ArtifactCorruptError, match=r"part_1\.parquet is missing"):
        nvt.Dataset(tmp_path / "d")
    (tmp_path / "d" / MANIFEST).unlink()
    with pytest.raises(ArtifactMissingError, match="interrupted"):
        nvt.Dataset(tmp_path / "d")


def test_parquet_files_are_those_that_hold_just_these_rows(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [0, 1]})
    data = nvt.Dataset(frame).to_parquet(tmp_path / "d", output_files=2)
    files = tuple(sorted((tmp_path / "d").glob("*.parquet")))
    assert data.parquet_files == nvt.Dataset(tmp_path / "d").parquet_files == files
    assert nvt.Dataset(tmp_path / "d", columns=["a"]).parquet_files == files
    assert data.repartition(1).parquet_files == files
    frame.write_csv(tmp_path / "x.csv")
    frame.write_ipc(tmp_path / "x.arrow")
    others = [
        nvt.Dataset(frame),
        nvt.Dataset(tmp_path / "x.csv"),
        nvt.Dataset(tmp_path / "x.arrow"),
        nvt.Dataset(tmp_path / "d", dtypes={"a": "int8"}),
        nvt.Workflow(["a"] >> nvt.ops.Clip(max_value=1)).transform(data),
        nvt.Dataset(frame).to_parquet(tmp_path / "p", partition_on=["b"]),
    ]
    assert [other.parquet_files for other in others] == [()] * len(others)
