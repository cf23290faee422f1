"""Which files are read, and with what schema."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.artifacts import MANIFEST
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, DataError
from emberline.etl import ops
from emberline.etl.schema import Schema

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})


def test_arrow_ipc(tmp_path: Path) -> None:
    for i in range(2):
        FRAME[i * 2 : i * 2 + 2].write_ipc(tmp_path / f"{i}.arrow")
    data = nvt.Dataset(tmp_path)
    assert data.to_polars().equals(FRAME)
    assert len(data.parts(1)) == 3
    assert nvt.Dataset(tmp_path / "0.arrow", engine="feather").num_rows == 2
    (tmp_path / "2.arrow").write_bytes(b"no")
    with pytest.raises(DataError, match=r"2\.arrow .* not an Arrow IPC file"):
        nvt.Dataset(tmp_path)


def test_csv_with_pandas_arguments(tmp_path: Path) -> None:
    (tmp_path / "day_0.txt").write_text("1\t7\t80000001\n\t-\tff\n0\t9\t\n")
    data = nvt.Dataset(
        [tmp_path / "day_0.txt"],
        engine="csv",
        names=["label", "I1", "C1"],
        sep="\t",
        na_values="-",
        dtypes={"C1": "hex", "I1": "int32"},
    )
    assert data.to_polars().rows() == [(1, 7, -0x7FFFFFFF), (None, None, 255), (0, 9, None)]
    assert data.sample_dtypes() == {"label": "int64", "I1": "int32", "C1": "int32"}
    (tmp_path / "t.tsv").write_text("# made by hand\nx\ty\n1\t2\n")
    data = nvt.Dataset(tmp_path / "t.tsv", sep="\t", skiprows=1, header=0, names=["p", "q"])
    assert data.to_polars().rows(named=True) == [{"p": 1, "q": 2}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seperator": ";"}, "csv files have no option 'seperator'"),
        ({"header": 3}, 'header must be 0, None or "infer", got 3'),
        ({"names": ["a"]}, r"t\.csv has 2 columns, names has 1"),
        ({"columns": ["A"]}, "columns has a column 'A' that the data has not; did you mean 'a'"),
        ({"dtypes": {"a": "hex"}, "header": 0}, "strict integer parsing|cannot be processed"),
    ],
)
def test_csv_arguments_that_do_not_fit(tmp_path: Path, arguments: Any, message: str) -> None:
    (tmp_path / "t.csv").write_text("a,b\nxyz,2\n")
    with pytest.raises(DataError, match=message):
        nvt.Dataset(tmp_path / "t.csv", **arguments).to_polars()
    FRAME.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"sep: an argument of csv files, these are parquet"):
        nvt.Dataset(tmp_path / "t.parquet", sep=";")
    with pytest.raises(DataError, match="sep: an argument of csv files, got a frame"):
        nvt.Dataset(FRAME, sep=";")


def test_hex_of_every_kind() -> None:
    frame = pl.DataFrame({"h": ["0", "7fffffff", "80000000", "FFFFFFFF", "68fd1e64", None]})
    data = nvt.Dataset(frame, dtypes={"h": "hex"})
    assert data.to_polars()["h"].to_list() == [0, 2**31 - 1, -(2**31), -1, 0x68FD1E64, None]
    assert data.schema["h"].dtype == "int32"
    with pytest.raises(nvt.ColumnTypeError, match="'a' has dtype Int64; 'hex' reads hexadecimal"):
        nvt.Dataset(FRAME, dtypes={"a": "hex"})
    with pytest.raises(DataError, match="cannot be processed"):
        nvt.Dataset(FRAME, dtypes={"b": "hex"}).to_polars()


def test_dtypes_of_every_spelling() -> None:
    for dtype in ("int32", "Int32", pl.Int32, pl.Int32()):
        assert nvt.Dataset(FRAME, dtypes={"a": dtype}).schema["a"].dtype == "int32"
    assert nvt.Dataset(FRAME, dtypes={"a": float}).schema["a"].dtype == "float64"
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    assert nvt.Dataset(FRAME, dtypes={"a": numpy.int8}).schema["a"].dtype == "int8"
    assert nvt.Dataset(FRAME, dtypes={"a": numpy.dtype("u2")}).schema["a"].dtype == "uint16"
    with pytest.raises(DataError, match="column 'a' has dtype complex"):
        nvt.Dataset(FRAME, dtypes={"a": complex})


def test_schemas_of_merlin(tmp_path: Path) -> None:
    frame = pl.DataFrame({"u": ["x", "y", "x"], "g": [["a"], [], ["b"]], "y": [0.5, 1.5, 2.5]})
    ids = (["u"] >> ops.Categorify() >> ops.TagAsUserID()) + (["g"] >> ops.Categorify())
    ids = ids >> ops.AddProperties({"note": "ä", "deep": {"list": [1, None, True, 2.5]}})
    workflow = nvt.Workflow(ids + (["y"] >> ops.AddTags(["target"])))
    written = workflow.fit_transform(nvt.Dataset(frame)).to_parquet(tmp_path / "d")
    ours = written.schema
    for ours_file in (MANIFEST, "schema.json"):
        (tmp_path / "d" / ours_file).unlink()
    for remove in ("", ".merlin/schema.json"):
        if remove:
            (tmp_path / "d" / remove).unlink()
        read = nvt.Dataset(tmp_path / "d").schema
        assert read.names == ours.names
        for column in read:
            assert column.tags == ours[column.name].tags
            assert (column.dtype, column.is_list) == (
                ours[column.name].dtype,
                ours[column.name].is_list,
            )
            for key in ("domain", "embedding_sizes", "note", "deep"):
                assert column.properties.get(key) == ours[column.name].properties.get(key)
        # One file of the directory has the schema beside it.
        assert nvt.Dataset(tmp_path / "d" / "part_0.parquet").schema == read
    (tmp_path / "d" / "schema.pbtxt").write_text("feature {\n  name\n}")
    with pytest.raises(ArtifactCorruptError, match=r"schema\.pbtxt is not a schema \(line 2: exp"):
        nvt.Dataset(tmp_path / "d")


def test_schema_can_be_set() -> None:
    data = nvt.Dataset(FRAME)
    data.schema = Schema([data.schema["b"].with_tags(["item"])])
    assert data.to_polars().columns == ["b"]
    with pytest.raises(nvt.ColumnNotFoundError, match="a column 'c' that the data has not"):
        data.schema = Schema(["c"])


def test_arguments_that_say_nothing_here(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="client=.* has no effect"):
        nvt.Dataset(FRAME, client=object())
    assert nvt.Dataset(FRAME, client=None, cpu=True).num_rows == 3
    with pytest.raises(nvt.UnsupportedError, match="read by the CPU; leave cpu out"):
        nvt.Dataset(FRAME, cpu=False)
    base = nvt.Dataset(FRAME.select("b"))
    assert nvt.Dataset(FRAME, base_dataset=base).schema == base.schema
    for call in (base.to_ddf, base.to_gpu):
        with pytest.raises(nvt.UnsupportedError, match="is not offered"):
            call()
    base.to_cpu()


class TestRemote:
    """fsspec's own file system in memory: no network."""

    @pytest.fixture(autouse=True)
    def memory(self) -> Iterator[Any]:
        fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
        fs = fsspec.filesystem("memory")
        yield fs
        if fs.exists("/data"):
            fs.rm("/data", recursive=True)

    def test_files_and_directories(self, memory: Any, tmp_path: Path) -> None:
        for i in range(3):
            FRAME[i : i + 1].write_parquet(tmp_path / f"{i}.parquet")
            memory.put_file(str(tmp_path / f"{i}.parquet"), f"/data/p/{i + 8}.parquet")
        # Not read, as in a local directory.
        memory.pipe_file("/data/p/below/1.parquet", b"no")
        memory.pipe_file("/data/p/_hidden.parquet", b"no")
        for source in ("memory://data/p", "memory://data/p/[0-9]*.parquet"):
            data = nvt.Dataset(source)
            assert data.to_polars().equals(FRAME)
            assert data.num_rows == 3
            assert data.head(2).height == 2
            assert data.to_lazy().filter(pl.col("a") > 1).collect().height == 2
            assert data.files == ()
        out = nvt.Workflow(["b"] >> ops.Categorify()).fit_transform(data)
        assert out.to_polars()["b"].to_list() == [3, 1, 4]
        memory.pipe_file("/data/c/x.csv", b"n\n1\n2\n")
        assert nvt.Dataset("memory://data/c/x.csv").to_polars()["n"].to_list() == [1, 2]
        with pytest.raises(DataError, match="memory://data/none: no such file"):
            nvt.Dataset("memory://data/none")
        with pytest.raises(DataError, match="memory://data/p holds no csv file"):
            nvt.Dataset("memory://data/p", engine="csv")

    def test_a_file_that_differs_is_named(self, memory: Any, tmp_path: Path) -> None:
        FRAME.write_parquet(tmp_path / "0.parquet")
        FRAME.drop("a").write_parquet(tmp_path / "1.parquet")
        for i in range(2):
            memory.put_file(str(tmp_path / f"{i}.parquet"), f"/data/{i}.parquet")
        with pytest.raises(DataError, match=r"memory:///data/1\.parquet has other columns"):
            nvt.Dataset("memory://data").to_polars()

    def test_written_directories(self, memory: Any) -> None:
        data = nvt.Dataset(FRAME).to_parquet("memory://data/out", output_files=2, labels=["a"])
        assert data.to_polars().equals(FRAME)
        assert data.schema["a"].tags == {"target"}
        again = nvt.Dataset(FRAME.head(1)).to_parquet("memory://data/out")
        assert again.num_rows == 1
        assert not memory.exists("/data/out/part_1.parquet")
        memory.rm_file(f"/data/out/{MANIFEST}")
        with pytest.raises(ArtifactMissingError, match="interrupted save"):
            nvt.Dataset("memory://data/out")
        with pytest.raises(FileExistsError, match="not a directory that emberline wrote"):
            nvt.Dataset(FRAME).to_parquet("memory://data/out")

    def test_an_upload_that_breaks_off_is_incomplete(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nvt.Dataset(FRAME).to_parquet("memory://data/out")
        put = type(memory).put_file

        def dies(self: Any, local: str, remote: str, **kwargs: Any) -> None:
            if remote.endswith("schema.json"):
                raise OSError("connection lost")
            put(self, local, remote, **kwargs)

        monkeypatch.setattr(type(memory), "put_file", dies)
        with pytest.raises(OSError, match="connection lost"):
            nvt.Dataset(FRAME).to_parquet("memory://data/out")
        monkeypatch.undo()
        assert not memory.exists(f"/data/out/{MANIFEST}")

    def test_protocols_that_are_not_there(self) -> None:
        with pytest.raises(DataError, match="nonsense"):
            nvt.Dataset("nonsense://bucket/data")


def test_over_http(tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    FRAME.write_parquet(tmp_path / "a.parquet")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert nvt.Dataset(f"{url}/a.parquet").to_polars().equals(FRAME)
            with pytest.raises(DataError, match="no such file"):
                nvt.Dataset(f"{url}/b.parquet")
        finally:
            server.shutdown()
