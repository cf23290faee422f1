"""Downloads, against an HTTP server on this machine that can misbehave."""

import hashlib
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from emberline.errors import DataError, EmberlineError
from emberline.etl.datasets import RELEASES, DownloadError, download_movielens, terms
from emberline.etl.datasets import download as module

DATA = bytes(range(256)) * 20_000  # 5.12 MB: several pieces
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
NAME = "ml-latest-small"


class Server(ThreadingHTTPServer):
    """Serves one archive; what it does wrong, and what it was asked, are attributes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = DATA
        self.md5_text: str | None = f"MD5 ({NAME}.zip) = {MD5}\n"
        self.etag = '"v1"'
        self.ranges = True
        self.cut_after: list[int] = []  # bytes to send of each coming answer before hanging up
        self.wrong_place = False
        self.failures = 0  # coming requests to answer with 503
        self.asked: list[str | None] = []  # the Range header of each request for the archive

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/movielens/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        server = self.server
        if self.path.endswith(".zip.md5") and server.md5_text is not None:
            self.answer(200, server.md5_text.encode())
        elif not self.path.endswith(".zip"):
            self.answer(404, b"not here")
        else:
            self.archive()

    def archive(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.failures:
            server.failures -= 1
            self.answer(503, b"later")
            return
        start = 0
        if asked and server.ranges and self.headers.get("If-Range") == server.etag:
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found is not None
            start = int(found[1]) + (1 if server.wrong_place else 0)
        body = server.data[start:]
        self.send_response(206 if start else 200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if start:
            last = len(server.data) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(server.data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)
        self.close_connection = True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT_S", 0.0)


def test_full_download_and_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    file = download_movielens(
        NAME,
        tmp_path / "cache",
        lambda done, total: seen.append((done, total)),
        base_url=server.url,
    )
    assert file == tmp_path / "cache" / f"{NAME}.zip"
    assert file.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert sorted(p.name for p in file.parent.iterdir()) == [f"{NAME}.zip", f"{NAME}.zip.md5"]


def test_a_complete_archive_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    download_movielens(NAME, tmp_path, base_url=server.url)
    again = download_movielens(NAME, tmp_path, base_url=server.url)
    assert again.read_bytes() == DATA
    assert server.asked == [None]


def test_a_damaged_archive_is_fetched_again(server: Server, tmp_path: Path) -> None:
    file = download_movielens(NAME, tmp_path, base_url=server.url)
    file.write_bytes(b"damaged")
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA


def test_an_interrupted_download_is_resumed_within_the_call(server: Server, tmp_path: Path) -> None:
    server.cut_after = [3_000_000]
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA
    assert server.asked == [None, "bytes=3000000-"]


def test_a_truncated_transfer_fails_and_the_next_call_resumes(
    server: Server, tmp_path: Path
) -> None:
    server.cut_after = [1_000_000, 10, 10]
    message = (
        r"connection ended after 1000020 of 5120000 bytes.* 1000020 bytes are kept and the next"
    )
    with pytest.raises(DownloadError, match=message) as caught:
        download_movielens(NAME, tmp_path, base_url=server.url)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, EmberlineError)
    assert not (tmp_path / f"{NAME}.zip").exists()
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA
    assert server.asked == [None, "bytes=1000000-", "bytes=1000010-", "bytes=1000020-"]


def test_a_changed_file_is_not_glued_to_the_old_part(server: Server, tmp_path: Path) -> None:
    server.cut_after = [1_000_000, 0, 0]
    with pytest.raises(DownloadError, match="1000000 bytes are kept"):
        download_movielens(NAME, tmp_path, base_url=server.url)
    server.data, server.etag = DATA[::-1], '"v2"'
    server.md5_text = hashlib.md5(server.data, usedforsecurity=False).hexdigest()
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == server.data


def test_a_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cut_after = [2_000_000]
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA
    assert server.asked == [None, "bytes=2000000-"]


def test_a_server_without_validators_starts_again(server: Server, tmp_path: Path) -> None:
    server.etag = ""
    server.cut_after = [2_000_000]
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA
    assert server.asked == [None, None]


def test_a_server_that_continues_elsewhere(server: Server, tmp_path: Path) -> None:
    server.wrong_place = True
    server.cut_after = [2_000_000]
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA
    assert server.asked == [None, "bytes=2000000-", None]


def test_a_passing_server_error_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.failures = 2
    assert download_movielens(NAME, tmp_path, base_url=server.url).read_bytes() == DATA
    assert len(server.asked) == 3


def test_wrong_checksum(server: Server, tmp_path: Path) -> None:
    server.md5_text = f"{'0' * 32}  {NAME}.zip"
    message = rf"MD5 {MD5}, expected {'0' * 32}.*To get it by hand, save http://127.* as .*\.zip"
    with pytest.raises(DownloadError, match=message):
        download_movielens(NAME, tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_pinned_sum_overrules_the_one_beside_the_archive(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"expected {RELEASES['ml-1m']}"):
        download_movielens("ml-1m", tmp_path, base_url=server.url)


def test_not_found_and_no_sum(server: Server, tmp_path: Path) -> None:
    server.md5_text = None
    with pytest.raises(DownloadError, match=r"HTTP Error 404.*To get it by hand"):
        download_movielens(NAME, tmp_path, base_url=server.url)
    server.md5_text = "<html>moved</html>"
    with pytest.raises(DownloadError, match=r"\.md5 holds no MD5 sum"):
        download_movielens(NAME, tmp_path, base_url=server.url)
    assert server.asked == []


def test_nobody_listens(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    with pytest.raises(DownloadError, match=r"cannot download .*ml-25m\.zip: .*refused.*by hand"):
        download_movielens("ml-25m", tmp_path, base_url=url)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"unknown MovieLens release 'ml-25'; did you mean 'ml-25m'"
    ):
        download_movielens("ml-25", tmp_path)
    with pytest.raises(DataError, match=r"base_url='file:///x'; expected https:// or http://"):
        download_movielens(NAME, tmp_path, base_url="file:///x")


@pytest.mark.parametrize("name", RELEASES)
def test_terms_are_one_line_with_licence_and_citation(name: str) -> None:
    line = terms(name)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line
    assert "not for commercial use" in line
    assert "doi:10.1145/2827872" in line
