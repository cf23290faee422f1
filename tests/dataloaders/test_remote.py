"""Data sets behind fsspec: its own file system in memory, and a server on this machine."""

import functools
import http.server
import io
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from emberline.artifacts import MANIFEST
from emberline.dataloaders import DatasetNotFoundError, Loader, ParquetFileError
from emberline.dataloaders.remote import RangeReader
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, DataError
from tests.dataloaders.test_files import write_dataset

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]
LAYOUT = [[13, 9, 14], [11, 0, 12], [5]]


@pytest.fixture
def memory() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    yield fs
    if fs.exists("/data"):
        fs.rm("/data", recursive=True)


@pytest.fixture
def files(memory: Any, write_files: WriteFiles) -> list[Path]:
    files = write_files(LAYOUT)
    for file in files:
        memory.put_file(str(file), f"/data/{file.name}")
    return files


def ids(loader: Loader) -> list[list[int]]:
    return [x["id"].tolist() for x, _ in loader]


@pytest.mark.parametrize("address", ["memory://data", "memory://data/part_*.parquet", "list"])
def test_the_batches_are_those_of_local_files(files: list[Path], address: str) -> None:
    data = [f"memory://data/{f.name}" for f in files] if address == "list" else address
    local = Loader(files, 8, shuffle=True, targets="label")
    remote = Loader(data, 8, shuffle=True, targets="label", threads=4)
    for (x, y), (other, z) in zip(remote, local, strict=True):
        assert {name: a.tolist() for name, a in x.items()} == {
            name: a.tolist() for name, a in other.items()
        }
        assert y.tolist() == z.tolist()
    # A state moves between a copy and its original.
    whole = ids(Loader(files, 8, shuffle=True, targets="label"))
    stopped = Loader(files, 8, shuffle=True, targets="label")
    list(itertools.islice(stopped, 3))
    resumed = Loader(data, 8, shuffle=True, targets="label")
    resumed.load_state_dict(stopped.state_dict())
    assert ids(resumed) == whole[3:]


def test_a_dataset_directory(memory: Any, write_files: WriteFiles, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "d", write_files([[3], [2, 2]]))
    memory.put(str(path), "/data/d", recursive=True)
    loader = Loader("memory://data/d", 7)
    assert [form.name for form in loader.feature_formats] == ["id", "tags"]
    assert ids(loader) == [[0, 1, 2, 3, 4, 5, 6]]
    memory.rm_file("/data/d/part_1.parquet")
    with pytest.raises(ArtifactCorruptError, match=r"memory://data/d/part_1.parquet is missing"):
        Loader("memory://data/d", 7)
    memory.pipe_file("/data/d/schema.json", b"{")
    memory.pipe_file("/data/d/part_1.parquet", b"")
    with pytest.raises(ArtifactCorruptError, match=r"memory://data/d/schema.json is not a schema"):
        Loader("memory://data/d", 7)
    memory.pipe_file(f"/data/d/{MANIFEST}", b"{")
    with pytest.raises(ArtifactCorruptError, match=f"memory://data/d/{MANIFEST} is not a manif"):
        Loader("memory://data/d", 7)
    memory.rm_file(f"/data/d/{MANIFEST}")
    with pytest.raises(ArtifactMissingError, match="no complete dataset at memory://data/d"):
        Loader("memory://data/d", 7)


def test_what_is_not_there(memory: Any) -> None:
    memory.pipe_file("/data/x/a.csv", b"a\n1\n")
    memory.pipe_file("/data/x/b.csv", b"a\n1\n")
    with pytest.raises(DatasetNotFoundError, match="no such file or directory: memory://data/no"):
        Loader("memory://data/no", 1)
    with pytest.raises(DatasetNotFoundError, match=r"data/x holds no .*'memory://data/x/\*\*/\*"):
        Loader("memory://data/x", 1)
    with pytest.raises(DataError, match="nonsense"):
        Loader("nonsense://bucket/data", 1)
    with pytest.raises(DataError, match="storage_options are for addresses like"):
        Loader("somewhere", 1, storage_options={"key": "secret"})


def test_a_file_twice(files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"memory:///data/part_0.parquet is given twice"):
        Loader(["memory://data/part_0.parquet", "memory://data"], 1)


def test_a_replaced_or_broken_file_is_named(memory: Any, files: list[Path]) -> None:
    loader = Loader("memory://data", 8)
    memory.pipe_file("/data/part_1.parquet", b"PAR1")
    with pytest.raises(
        ParquetFileError, match=r"memory:///data/part_1.parquet, row group 0 cannot be read \(4 byt"
    ):
        list(loader)
    with pytest.raises(ParquetFileError, match=r"part_1.parquet is not a complete parquet file"):
        Loader("memory://data", 8)


def test_errors_of_a_client_library_name_the_file(
    memory: Any, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = Loader("memory://data", 8)

    class ClientError(Exception):
        """As botocore's: not an OSError."""

    def refuse(self: Any, path: str, **kwargs: Any) -> bytes:
        raise ClientError("slow down")

    monkeypatch.setattr(type(memory), "cat_file", refuse)
    with pytest.raises(ParquetFileError, match=r"part_0.parquet, row group 0 cannot .*slow down"):
        list(loader)


def test_a_reader_is_a_file(memory: Any) -> None:
    memory.pipe_file("/data/x", bytes(range(20)))
    with RangeReader(memory, "/data/x", 20) as reader:
        assert reader.readable()
        assert reader.seekable()
        assert list(reader.read(3)) == [0, 1, 2]
        assert list(reader.read(2)) == [3, 4]
        assert reader.seek(2, io.SEEK_CUR) == reader.tell() == 7
        assert list(reader.read(1)) == [7]
        assert reader.seek(-2, io.SEEK_END) == 18
        assert list(reader.read(9)) == [18, 19]
        assert reader.read(9) == b""
        assert reader.seek(15) == 15
        assert list(reader.read()) == [15, 16, 17, 18, 19]


def test_a_short_answer_is_an_error(memory: Any, files: list[Path]) -> None:
    reader = RangeReader(memory, "/data/part_0.parquet", 10**6)
    with pytest.raises(OSError, match="bytes came where bytes 0 to 1000000 were asked for"):
        reader.read()


def test_file_addresses_are_local(write_files: WriteFiles) -> None:
    (file,) = write_files([[3]])
    assert ids(Loader(f"file://{file}", 9, targets="label")) == [[0, 1, 2]]


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory by ranges and counts the bytes that it sends."""

    daemon_threads = True

    def __init__(self, directory: Path, password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
        self.sent_bytes = 0
        self.asked: list[str] = []
        self.password = password


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def do_HEAD(self) -> None:
        self.server.asked.append("size")
        super().do_HEAD()

    def do_GET(self) -> None:
        if self.server.password and self.headers.get("X-Key") != self.server.password:
            self.send_error(401)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self.server.asked.append(f"all of {self.path}")
            super().do_GET()
            return
        start, stop = int(asked[1]), int(asked[2]) + 1
        whole = Path(self.translate_path(self.path)).read_bytes()
        # Noted before it is sent: whoever has the bytes may look at once.
        self.server.asked.append("range")
        self.server.sent_bytes += len(whole[start:stop])
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(whole[start:stop])))
        self.end_headers()
        self.wfile.write(whole[start:stop])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Server]:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    with Server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_over_http_only_the_wanted_columns_travel(serve: Server, write_files: WriteFiles) -> None:
    files = write_files([[40_000, 40_000]])
    size_bytes = files[0].stat().st_size
    url = f"http://127.0.0.1:{serve.server_port}"
    loader = Loader(f"{url}/part_0.parquet", 30_000, columns=["label"])
    assert sum(len(x["label"]) for x, _ in loader) == 80_000
    # The file is there, its size, its footer; then for each row group its size and its pages.
    assert sorted(serve.asked) == ["range"] * 3 + ["size"] * 4
    # The label is a bit a row, dictionary encoded; footers come at most twice with 64 kB each.
    assert serve.sent_bytes < size_bytes / 4
    assert [f.name for f in Loader(url, 9).feature_formats][:2] == ["id", "price"]
    with pytest.raises(DatasetNotFoundError, match=r"no such file or directory: http.*none.parq"):
        Loader(f"{url}/none.parquet", 9)


def test_options_reach_the_file_system(serve: Server, write_files: WriteFiles) -> None:
    write_files([[3]])
    serve.password = "secret"
    url = f"http://127.0.0.1:{serve.server_port}/part_0.parquet"
    options = {"headers": {"X-Key": "secret"}}
    assert ids(Loader(url, 9, targets="label", storage_options=options)) == [[0, 1, 2]]
    with pytest.raises(DataError, match=r"part_0\.parquet"):
        Loader(url, 9)
