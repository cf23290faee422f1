"""The official MovieLens archives: resumed where they stopped, checked, complete or absent."""

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emberline.errors import DataError, nearest
from emberline.etl.datasets.errors import DownloadError

__all__ = ["BASE_URL", "RELEASES", "download_movielens", "terms"]

BASE_URL = "https://files.grouplens.org/datasets/movielens"

# The MD5 that the publisher gives beside each fixed release. None: a release that changes (latest)
# or whose sum we could not confirm; it is then read from `<name>.zip.md5`.
RELEASES: dict[str, str | None] = {
    "ml-latest-small": None,
    "ml-latest": None,
    "ml-1m": "c4d9eecfca2ab87c1945afe126590906",
    "ml-10m": None,
    "ml-20m": "cd245b17a1ae2cc31bb14903e1204af3",
    "ml-25m": "6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-32m": "d472be332d4daa821edc399621853b57",
}

Progress = Callable[[int, int | None], None]

_PIECE_BYTES = 1 << 20
_ATTEMPTS = 3
_WAIT_S = 0.2  # before the second attempt; doubled before the third


def terms(name: str) -> str:
    """One line to show before a download: licence and citation.

    Raises:
        DataError: an unknown release.
    """
    _known(name)
    return (
        f"{name}: for research, not for commercial use without GroupLens' permission, no endorsement "
        "implied (see the README in the archive); cite F. M. Harper and J. A. Konstan 2015, The "
        "MovieLens Datasets: History and Context, ACM TiiS 5(4):19, doi:10.1145/2827872"
    )


def download_movielens(
    name: str,
    cache_dir: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    base_url: str = BASE_URL,
    timeout_s: float = 5.0,
) -> Path:
    """Fetch `<name>.zip`, or return the complete one that is there.

    The bytes go to `<name>.zip.part`, which an interrupted download leaves behind and the next one
    continues, provided that the server still offers the same file (If-Range). After the MD5 is
    right the file is renamed. Prints nothing.

    Args:
        name: one of `RELEASES`, for example "ml-25m".
        cache_dir: created where absent.
        progress: called with (bytes done, bytes in all, or None where the server does not say).
        base_url: http(s) address of a mirror's folder.
        timeout_s: to connect, and without any byte while reading; three attempts are made.

    Returns:
        The archive, for `open_movielens`.

    Raises:
        DataError: an unknown release, or a base_url of another scheme.
        DownloadError: unreachable, refused, cut short, or a wrong checksum.
    """
    _known(name)
    if not base_url.startswith(("https://", "http://")):
        raise DataError(f"base_url={base_url!r}; expected https:// or http://")
    folder = Path(cache_dir)
    job = _Job(url=f"{base_url.rstrip('/')}/{name}.zip", target=folder / f"{name}.zip")
    noted = folder / f"{name}.zip.md5"
    known = RELEASES[name] or _noted_sum(noted)
    if job.target.is_file() and known is not None and _md5(job.target) == known:
        return job.target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        expected = RELEASES[name] or job.published_sum(timeout_s)
        for attempt in range(_ATTEMPTS):
            try:
                job.fetch(progress, timeout_s)
                break
            except (OSError, http.client.HTTPException) as error:
                refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if refused or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_WAIT_S * 2**attempt)
        if (given := _md5(job.part)) != expected:
            job.discard()
            raise DownloadError(
                f"{job.url}: MD5 {given}, expected {expected}; the partial file was removed, so try "
                f"again. {job.by_hand()}"
            )
        noted.write_text(f"{expected}  {name}.zip\n")
        os.replace(job.part, job.target)
        job.discard()
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException) as error:
        kept = job.part.stat().st_size if job.part.is_file() else 0
        resume = f" {kept} bytes are kept and the next call continues there." if kept else ""
        raise DownloadError(
            f"cannot download {job.url}: {error}.{resume} {job.by_hand()}"
        ) from error
    return job.target


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One archive: its address, the partial file, and what the server said of it."""

    url: str
    target: Path

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        """Which version of the file the partial one belongs to: its validator and its size."""
        return self.target.with_name(f"{self.target.name}.part.json")

    def by_hand(self) -> str:
        return f"To get it by hand, save {self.url} as {self.target}."

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def published_sum(self, timeout_s: float) -> str:
        """Read the MD5 that the publisher puts beside the archive."""
        with urllib.request.urlopen(f"{self.url}.md5", timeout=timeout_s) as answer:
            text = answer.read(4096).decode("ascii", "replace")
        found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
        if found is None:
            raise DownloadError(f"{self.url}.md5 holds no MD5 sum. {self.by_hand()}")
        return found[0].lower()

    def fetch(self, progress: Progress | None, timeout_s: float) -> None:
        """Append what is missing to the partial file; start again where that cannot be done.

        Raises:
            OSError, HTTPException: no connection, a refusal, or fewer bytes than announced.
        """
        start, validator, total = self._resumable()
        if total is not None and start == total:
            return
        request = urllib.request.Request(self.url)
        if start:
            request.add_header("Range", f"bytes={start}-")
            # The server sends the whole file instead if it is another one by now.
            request.add_header("If-Range", validator)
        try:
            answer = urllib.request.urlopen(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == 416 and start:  # the file is shorter than what we have: another file
                self.discard()
                raise OSError("the file on the server changed; starting again") from error
            raise
        with answer:
            length = answer.headers.get("Content-Length")
            if answer.status == 206:
                place = re.fullmatch(
                    r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", "")
                )
                if place is None or (int(place[1]), int(place[2])) != (start, total):
                    self.discard()
                    raise OSError("the server continued at another place; starting again")
            else:
                start, total = 0, None if length is None else int(length)
                self.part.unlink(missing_ok=True)
                self._remember(answer.headers, total)
            with self.part.open("ab") as file:
                while piece := answer.read(_PIECE_BYTES):
                    file.write(piece)
                    start += len(piece)
                    if progress is not None:
                        progress(start, total)
        if total is not None and start != total:
            raise OSError(f"the connection ended after {start} of {total} bytes")

    def _remember(self, headers: http.client.HTTPMessage, total: int | None) -> None:
        tag = headers.get("ETag", "")
        # A weak tag promises no equal bytes and is not allowed in If-Range.
        validator = headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
        self.note.write_text(json.dumps({"url": self.url, "validator": validator, "total": total}))

    def _resumable(self) -> tuple[int, str, int | None]:
        """(bytes to keep, validator, total): 0 bytes where the partial file cannot be continued."""
        try:
            noted = json.loads(self.note.read_bytes())
            size = self.part.stat().st_size
            validator, total = str(noted["validator"]), noted["total"]
            if noted["url"] == self.url and validator and total is not None and size <= total:
                return size, validator, int(total)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no partial file, or a note that was cut: start from the beginning
        return 0, "", None


def _known(name: str) -> None:
    if name not in RELEASES:
        raise DataError(f"unknown MovieLens release {name!r}{nearest(name, RELEASES)}")


def _noted_sum(file: Path) -> str | None:
    try:
        return file.read_text().split()[0]
    except (OSError, ValueError, IndexError):
        return None


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
