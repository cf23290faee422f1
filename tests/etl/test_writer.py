"""The data set directory."""

import errno
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.artifacts import open_directory
from emberline.errors import DataError
from emberline.etl import ops, shuffle
from emberline.etl.merlin_files import merlin_json, merlin_pbtxt
from emberline.etl.schema import ColumnSchema, Schema


def numbers(n: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(n), "g": [[i, i + 1][: i % 3] for i in range(n)]})


def groups(file: Path) -> list[int]:
    meta = pq.read_metadata(file)
    return [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]


def test_everything_is_there(tmp_path: Path) -> None:
    data = nvt.Dataset(numbers(100)).to_parquet(tmp_path / "d", row_group_size=30, labels=["n"])
    manifest = open_directory(tmp_path / "d", kind="dataset", max_version=1)
    assert sorted(manifest.files) == [
        ".merlin/schema.json",
        "_file_list.txt",
        "_metadata",
        "_metadata.json",
        "part_0.parquet",
        "schema.json",
        "schema.pbtxt",
    ]
    assert manifest.info == {"rows": 100, "row_group_size": 30, "files": 1}
    assert groups(tmp_path / "d" / "part_0.parquet") == [30, 30, 30, 10]
    column = pq.read_metadata(tmp_path / "d" / "part_0.parquet").row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert data.to_polars().equals(numbers(100))
    assert Schema.load(tmp_path / "d") == data.schema
    assert data.schema.select_by_tag("target").names == ["n"]


@given(
    rows=st.integers(0, 50),
    size=st.integers(1, 20),
    files=st.integers(1, 5),
    seed=st.none() | st.integers(-(2**70), 2**70),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_and_row_groups(
    tmp_path: Path, rows: int, size: int, files: int, seed: int | None
) -> None:
    frame = numbers(rows).cast({"n": pl.Int64, "g": pl.List(pl.Int64)})
    data = nvt.Dataset(frame).to_parquet(
        tmp_path / "d", row_group_size=size, output_files=files, shuffle=seed
    )
    out = data.to_polars()
    assert data.num_rows == rows
    assert out.sort("n").equals(frame)
    if seed is None:
        assert out.equals(frame)
    counts = [sum(groups(file)) for file in data.files]
    assert len(counts) == files
    assert max(counts) - min(counts) <= 1
    for file in data.files:
        assert all(n == size for n in groups(file)[:-1])


def test_shuffle_depends_on_the_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def order(name: str, seed: int, **arguments: Any) -> list[int]:
        data = nvt.Dataset(numbers(1000)).to_parquet(tmp_path / name, shuffle=seed, **arguments)
        values: list[int] = data.to_polars()["n"].to_list()
        return values

    first = order("a", 1)
    assert first != sorted(first)
    assert order("b", 1, output_files=3, row_group_size=7) == first
    assert order("c", 2) != first
    monkeypatch.setattr(shuffle, "BUCKET_ROWS", 64)
    assert order("d", 1) == first


def test_shuffle_mixes() -> None:
    n = 20_000
    frame = pl.DataFrame({"n": range(n)})
    out = pl.concat(shuffle.sort_by_key(frame.lazy(), rows=n, seed=0))["n"]
    # A uniform permutation has a correlation of 0 +- 1/sqrt(n) with the order; 5 sigma.
    correlation = out.to_frame().with_row_index("i").select(pl.corr("i", "n")).item()
    assert abs(correlation) < 5 / n**0.5
    neighbours = (out.diff().abs() == 1).sum()
    assert neighbours < 20  # 2 expected


def test_splitmix_is_the_published_function() -> None:
    # splitmix64 from state 0: the first outputs of the reference implementation.
    assert shuffle._mix(0) == 0xE220A8397B1DCDAF
    assert shuffle._mix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4
    keys = pl.DataFrame({"shuffle/index": [0, 1]}, schema={"shuffle/index": pl.UInt32})
    got = keys.select(shuffle._key(7)).to_series().to_list()
    start = shuffle._mix(7)
    step = 0x9E3779B97F4A7C15
    assert got == [shuffle._mix((start + i * step) & (2**64 - 1)) for i in (0, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shuffle": "yes"}, "shuffle must be None, a Shuffle or an integer seed, got 'yes'"),
        ({"row_group_size": 0}, "row_group_size must be a positive integer, got 0"),
        ({"output_files": 1.5}, "output_files must be a positive integer, got 1.5"),
        ({"compression": "ztsd"}, "compression 'ztsd' is unknown; did you mean 'zstd'"),
        ({"labels": ["m"]}, "labels: no column 'm'"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        nvt.Dataset(numbers(3)).to_parquet(tmp_path / "d", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvt.Dataset(numbers(3)).to_parquet(tmp_path / "d")

    def full(self: pl.LazyFrame, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", full)
    for target in ("d", "new"):
        with pytest.raises(OSError, match="No space left"):
            nvt.Dataset(numbers(5)).to_parquet(tmp_path / target)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    assert nvt.Dataset(tmp_path / "d").num_rows == 3


def test_the_engines_message_of_a_full_disk_becomes_an_oserror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: pl.LazyFrame, *args: Any, **kwargs: Any) -> None:
        raise pl.exceptions.ComputeError("No space left on device (os error 28)")

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", full)
    with pytest.raises(OSError, match="no space left on device") as caught:
        nvt.Dataset(numbers(5)).to_parquet(tmp_path / "d")
    assert caught.value.errno == errno.ENOSPC


def test_a_directory_of_someone_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not a directory that emberline wrote"):
        nvt.Dataset(numbers(3)).to_parquet(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_writing_over_the_own_input(tmp_path: Path) -> None:
    nvt.Dataset(numbers(10)).to_parquet(tmp_path / "d")
    again = nvt.Dataset(tmp_path / "d").to_parquet(tmp_path / "d", shuffle=0)
    assert sorted(again.to_polars()["n"].to_list()) == list(range(10))


def test_merlin_files(tmp_path: Path) -> None:
    frame = pl.DataFrame({"u": ["x", "y", "x"], "g": [["a"], [], ["b"]], "y": [0.5, 1.5, 2.5]})
    ids = (["u"] >> ops.Categorify() >> ops.TagAsUserID()) + (["g"] >> ops.Categorify())
    workflow = nvt.Workflow(ids + (["y"] >> ops.AddTags(["target"])))
    workflow.fit_transform(nvt.Dataset(frame)).to_parquet(tmp_path / "d", output_files=2)
    listed = (tmp_path / "d" / "_file_list.txt").read_text()
    assert listed == "2\npart_0.parquet\npart_1.parquet\n"
    footer = pq.read_metadata(tmp_path / "d" / "_metadata")
    assert footer.num_rows == 3
    assert [footer.row_group(i).column(0).file_path for i in range(2)] == [
        "part_0.parquet",
        "part_1.parquet",
    ]
    user, items, target = json.loads((tmp_path / "d" / ".merlin" / "schema.json").read_text())[
        "feature"
    ]
    # As merlin-core 23.08 writes the same schema.
    assert user["type"] == "INT"
    assert user["intDomain"] == {"name": "u", "max": "4", "isCategorical": True}
    assert user["annotation"]["tag"] == ["categorical", "id", "user"]
    extra = user["annotation"]["extraMetadata"][0]
    assert (extra["is_list"], extra["is_ragged"], extra["_dims"]) == (False, False, [])
    assert extra["dtype_item_size"] == 64
    assert items["valueCount"] == {}
    assert items["annotation"]["extraMetadata"][0]["_dims"] == [[0, None], [0, None]]
    assert target["type"] == "FLOAT"
    assert target["annotation"]["tag"] == ["target"]


def test_merlin_text_is_what_merlin_writes() -> None:
    # The int8 feature of a schema that merlin-core 23.08 wrote; only the order of the four
    # entries of the map differs, which protobuf leaves open.
    text = merlin_pbtxt(Schema([ColumnSchema("i8", "int8", tags=frozenset({"context"}))]))
    assert text.startswith('feature {\n  name: "i8"\n  type: INT\n  annotation {\n')
    assert '    tag: "context"\n' in text
    for entry in (
        r"\n\r\n\007is_list\022\002 \000",
        r"\n\017\n\tis_ragged\022\002 \000",
        r"\n\013\n\005_dims\022\0022\000",
        r"\n\034\n\017dtype_item_size\022\t\021\000\000\000\000\000\000 @",
    ):
        assert entry in text
    names = merlin_json(Schema(["a", "b"]))["feature"]
    assert [feature["name"] for feature in names] == ["a", "b"]
