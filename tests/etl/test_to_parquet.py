"""The arguments of `to_parquet`: names, places and contents of the files."""

import datetime
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
from emberline.etl import ops, write_options, writer

FRAME = pl.DataFrame({"n": range(10), "k": ["a", "b c", None, "a", "é/ü"] * 2})


def names(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*.parquet"))


def test_file_names_and_numbers(tmp_path: Path) -> None:
    data = nvt.Dataset(FRAME)
    for arguments, expected in (
        ({}, ["part_0.parquet"]),
        ({"output_files": 2}, ["part_0.parquet", "part_1.parquet"]),
        ({"out_files_per_proc": 2}, ["part_0.parquet", "part_1.parquet"]),
        ({"output_files": ["y", "x.parquet"]}, ["x.parquet", "y.parquet"]),
        ({"suffix": ".zstd.parquet"}, ["part_0.zstd.parquet"]),
    ):
        out = data.to_parquet(tmp_path / "d", **arguments)
        assert names(tmp_path / "d") == expected
        assert out.to_polars().equals(FRAME)
    # One file a partition, where their number was asked for.
    for source in (nvt.Dataset(FRAME, npartitions=3), data.repartition(3)):
        assert len(source.to_parquet(tmp_path / "d").files) == 3
    mapping: Any = {"a": [0]}
    with pytest.raises(nvt.UnsupportedError, match="give a list"):
        data.to_parquet(tmp_path / "d", output_files=mapping)


def test_kinds_of_shuffles(tmp_path: Path) -> None:
    data = nvt.Dataset(FRAME)

    def order(shuffle: Any, **arguments: Any) -> list[int]:
        out = data.to_parquet(tmp_path / "d", shuffle, **arguments).to_polars()
        values: list[int] = out["n"].to_list()
        return values

    first = order(nvt.io.Shuffle.PER_PARTITION)
    assert sorted(first) == list(range(10)) != first
    assert first == order(nvt.Shuffle.PER_WORKER, seed=0) == order(0) == order(nvt.Shuffle.FULL)
    assert order(nvt.Shuffle.FULL, seed=7) == order(7) != first
    assert order(False) == order(None) == list(range(10))
    with pytest.warns(DeprecationWarning, match="shuffle=True is deprecated"):
        assert order(True) == first
    for arguments in ({"shuffle": 3, "seed": 3}, {"seed": 3}, {"shuffle": 1.5}):
        with pytest.raises(DataError, match=r"shuffle|seed"):
            data.to_parquet(tmp_path / "d", **arguments)
    # A memory limit changes the number of buckets, not the order.
    assert order(7, memory_limit="1MB") == order(7)


def test_columns_of_each_role(tmp_path: Path) -> None:
    data = nvt.Dataset(FRAME.with_columns(y=pl.lit(1.5)))
    out = data.to_parquet(tmp_path / "d", cats=["k"], conts=["n"], labels=["y"])
    assert [sorted(map(str, c.tags)) for c in out.schema] == [
        ["continuous"],
        ["categorical"],
        ["target"],
    ]
    content = json.loads((tmp_path / "d" / "_metadata.json").read_text())
    assert content == {
        "file_stats": [{"file_name": "part_0.parquet", "num_rows": 10}],
        "cats": [{"col_name": "k", "index": 1}],
        "conts": [{"col_name": "n", "index": 0}],
        "labels": [{"col_name": "y", "index": 2}],
    }
    with pytest.raises(nvt.ColumnNotFoundError, match="conts: no column 'm'"):
        data.to_parquet(tmp_path / "d", conts=["m"])


def test_dtypes_as_written(tmp_path: Path) -> None:
    frame = FRAME.with_columns(g=pl.lit([1, 2], dtype=pl.List(pl.Int64)))
    dtypes = {"n": "float32", "g": "int16"}
    out = nvt.Dataset(frame).to_parquet(tmp_path / "d", dtypes=dtypes)
    assert out.to_polars().schema == {"n": pl.Float32, "k": pl.String, "g": pl.List(pl.Int16)}
    assert [c.dtype for c in out.schema] == ["float32", "string", "int16"]
    with pytest.raises(DataError, match="cannot be processed"):
        nvt.Dataset(pl.DataFrame({"n": [1000]})).to_parquet(tmp_path / "d", dtypes={"n": "int8"})


def test_partition_on(tmp_path: Path) -> None:
    frame = FRAME.with_columns(
        day=pl.Series([datetime.date(2024, 1, i % 2 + 1) for i in range(10)]),
        flag=pl.col("n") > 4,
        small=(pl.col("n") % 3).cast(pl.Int8),
    )
    for columns in (["k"], ["day", "flag"], ["small"], "k"):
        out = nvt.Dataset(frame).to_parquet(tmp_path / "d", partition_on=columns)
        one = [columns] if isinstance(columns, str) else columns
        # Partitions in order of their values, nulls first; in each the rows keep their order.
        assert out.to_polars().equals(frame.sort(one, maintain_order=True))
        assert out.schema.names == frame.columns
        assert out.num_rows == 10
        assert out.to_lazy().filter(pl.col("n") == 3).select(one).collect().height == 1
        for file in out.files:
            assert not {*one} & {*pq.read_schema(file).names}
    assert names(tmp_path / "d") == [
        "k=%C3%A9%2F%C3%BC/part_0.parquet",
        "k=__HIVE_DEFAULT_PARTITION__/part_0.parquet",
        "k=a/part_0.parquet",
        "k=b%20c/part_0.parquet",
    ]
    manifest = open_directory(tmp_path / "d", kind="dataset", max_version=1)
    assert manifest.info["partition_on"] == ["k"]
    out = nvt.Dataset(frame).to_parquet(tmp_path / "d", shuffle=3, partition_on="small")
    assert out.to_polars().sort("n").equals(frame)
    # As others read it.
    assert pl.read_parquet(tmp_path / "d" / "small=*" / "*.parquet").height == 10


def test_partition_on_what_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = FRAME.with_columns(x=pl.lit(0.5), g=pl.lit([1]), e=pl.lit(""))
    data = nvt.Dataset(frame.with_columns(t=pl.datetime(2024, 1, 1)))
    for columns, message in (
        (["K"], "partition_on: no column 'K'; did you mean 'k'"),
        (["x"], "'x' has dtype float64; its values become directory names"),
        (["g"], "'g' has dtype int64 lists"),
        (["t"], "'t' is a time; cast it to a date"),
        (["e"], "the value '', which no directory can stand for"),
    ):
        with pytest.raises(DataError, match=message):
            data.to_parquet(tmp_path / "d", partition_on=columns)
    with pytest.raises(DataError, match="names every column"):
        nvt.Dataset(FRAME).to_parquet(tmp_path / "d", partition_on=["n", "k"])
    with pytest.raises(DataError, match="would write no file: there are no rows"):
        nvt.Dataset(FRAME.clear()).to_parquet(tmp_path / "d", partition_on="k")
    with pytest.raises(DataError, match="leave output_files out"):
        data.to_parquet(tmp_path / "d", partition_on="k", output_files=2)
    monkeypatch.setattr(writer, "MOST_PARTITIONS", 3)
    with pytest.raises(DataError, match="gives 4 directories, at most 3"):
        data.to_parquet(tmp_path / "d", partition_on="k")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", ["parquet", "csv"])
def test_preserve_files(tmp_path: Path, engine: str) -> None:
    sizes = {"b": 4, "a": 1, "empty": 0, "c": 5}
    start = 0
    files = []
    for name, size in sizes.items():
        files.append(tmp_path / f"{name}.{engine}")
        part = FRAME[start : start + size]
        if engine == "csv":
            part.write_csv(files[-1])
        else:
            part.write_parquet(files[-1])
        start += size
    data = nvt.Dataset(files, dtypes={"n": "int64", "k": "string"})
    odd = nvt.Workflow((["n"] >> ops.Sql("n * 2", name="twice")) + (["k"] >> ops.Categorify()))
    for source in (data, odd.fit_transform(data), odd.transform(data).repartition(2)):
        whole = source.to_polars()
        out = source.to_parquet(tmp_path / "out", preserve_files=True)
        stats = json.loads((tmp_path / "out" / "_metadata.json").read_text())["file_stats"]
        assert {s["file_name"]: s["num_rows"] for s in stats} == {
            f"{name}.parquet": size for name, size in sizes.items()
        }
        assert out.schema == source.schema
        b = pl.read_parquet(tmp_path / "out" / "b.parquet")
        assert b.equals(whole[:4])
    with pytest.raises(DataError, match="cannot be combined with shuffle"):
        data.to_parquet(tmp_path / "out", preserve_files=True, shuffle=1)


def test_preserve_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="made of frames, joined or reordered"):
        nvt.Dataset(FRAME).to_parquet(tmp_path / "out", preserve_files=True)
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        FRAME.write_parquet(tmp_path / folder / "a.parquet")
    data = nvt.Dataset([tmp_path / "x" / "a.parquet", tmp_path / "y" / "a.parquet"])
    with pytest.raises(DataError, match=r"two input files would both become a\.parquet"):
        data.to_parquet(tmp_path / "out", preserve_files=True)
    with pytest.raises(DataError, match="joined or reordered"):
        data.shuffle_by_keys("k").to_parquet(tmp_path / "out", preserve_files=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"suffix": ".pq"}, "suffix must end in '.parquet'"),
        ({"output_files": ["a/b"]}, "'a/b.parquet' must be a plain file name"),
        ({"output_files": ["_a"]}, "'_a.parquet' must be a plain file name"),
        ({"output_files": ["a", "a"]}, "output_files names a file twice"),
        ({"output_files": []}, "output_files must be a positive integer"),
        ({"method": "dask"}, "method must be 'subgraph' or 'worker'"),
        ({"memory_limit": "much"}, 'memory_limit must be .* like "1GB"'),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        nvt.Dataset(FRAME).to_parquet(tmp_path / "d", **arguments)
    assert not list(tmp_path.iterdir())


def test_arguments_of_nvtabular(tmp_path: Path) -> None:
    # By position, as NVTabular's signature has them.
    out = nvt.Dataset(FRAME).to_parquet(tmp_path / "d", None, False, 2, None, 3, 4)
    assert [pq.read_metadata(file).num_row_groups for file in out.files] == [2, 2]
    with pytest.raises(nvt.UnsupportedError, match="HugeCTR is not supported"):
        nvt.Dataset(FRAME).to_parquet(tmp_path / "d", write_hugectr_keyset=True)
    assert write_options.ROW_GROUP_SIZE == 65_536


@given(
    rows=st.integers(1, 40),
    values=st.integers(1, 5),
    seed=st.none() | st.integers(0, 3),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_partitions_hold_every_row_once(
    tmp_path: Path, rows: int, values: int, seed: int | None
) -> None:
    frame = pl.DataFrame(
        {"n": range(rows), "k": [i % values for i in range(rows)]},
        schema={"n": pl.Int64, "k": pl.Int64},
    )
    out = nvt.Dataset(frame).to_parquet(tmp_path / "d", partition_on="k", shuffle=seed)
    assert out.to_polars().sort("n").equals(frame)
