"""Parquet files on remote file systems, read by ranges through fsspec.

The ETL copies whole files, because Polars reads every column of them; an epoch reads the byte
ranges of the loaded columns, one row group at a time, so the two share no code.
"""

import io
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from emberline.dataloaders.errors import DatasetNotFoundError
from emberline.errors import DataError

__all__ = ["RemoteFile", "find_remote", "is_remote"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://")


def is_remote(path: object) -> bool:
    """Say whether a path names a file system, as `s3://bucket/data` does; `file://` is local."""
    if not isinstance(path, str) or path.startswith("file://"):
        return False
    return _URL.match(path) is not None


class RemoteFile:
    """One file; equal to another of the same address.

    Attributes:
        name: without its directory.
    """

    def __init__(self, fs: Any, path: str) -> None:
        """Name the file; nothing is read.

        Args:
            fs: the fsspec file system.
            path: inside it.
        """
        self._fs = fs
        self._path = path
        self._size_bytes: int | None = None
        self.name = PurePosixPath(path).name

    def __str__(self) -> str:
        return str(self._fs.unstrip_protocol(self._path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteFile) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def size_bytes(self) -> int:
        """Ask for the size; one request.

        Raises:
            OSError: no such file, or the server does not say.
        """
        self._fs.invalidate_cache(self._path)  # a file that was replaced must be seen
        size_bytes = self._fs.size(self._path)
        if size_bytes is None:
            raise OSError("the server does not tell its size, so it cannot be read by ranges")
        self._size_bytes = int(size_bytes)
        return self._size_bytes

    def open(self) -> "RangeReader":
        """Open for reading by ranges; its size is what `size_bytes` said last."""
        size_bytes = self.size_bytes() if self._size_bytes is None else self._size_bytes
        return RangeReader(self._fs, self._path, size_bytes)

    def read_bytes(self) -> bytes:
        """Read all of it."""
        return bytes(self._fs.cat_file(self._path))


class RangeReader(io.RawIOBase):
    """A remote file in which every read is one request for just those bytes.

    Not fsspec's own file object: its cache reads ahead what the columns that are left out hold,
    and some file systems give two threads the same object, with one place in it.
    """

    def __init__(self, fs: Any, path: str, size_bytes: int) -> None:
        """Start at the first byte."""
        self._fs = fs
        self._path = path
        self._size_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as in any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Give the place of the next byte."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Fetch up to `size` bytes; all that is left without one.

        Raises:
            OSError: the server sent another number of bytes.
        """
        stop = self._size_bytes if size is None or size < 0 else self._at + size
        stop = min(stop, self._size_bytes)
        if self._at >= stop:
            return b""
        data = bytes(self._fs.cat_file(self._path, start=self._at, end=stop))
        if len(data) != stop - self._at:
            raise OSError(f"{len(data)} bytes came where bytes {self._at} to {stop} were asked for")
        self._at = stop
        return data


def find_remote(url: str, storage_options: Mapping[str, Any] | None) -> tuple[RemoteFile, ...]:
    """Find the files that an address means: one file, a directory's, or those of a pattern.

    Args:
        url: for example "s3://bucket/data" or "https://host/part_0.parquet".
        storage_options: what fsspec passes to the file system (keys, endpoints, ...).

    Raises:
        DatasetNotFoundError: nothing there.
        DataError: fsspec or the protocol's package is missing, or the options are refused.
    """
    try:
        import fsspec
    except ImportError as error:
        raise DataError(
            f"{url}: remote files need fsspec and the package of the protocol; "
            "pip install 'emberline[remote]' (and s3fs, gcsfs, adlfs, ...)"
        ) from error
    try:
        fs, path = fsspec.core.url_to_fs(url, **dict(storage_options or {}))
    except (ImportError, ValueError, TypeError) as error:
        raise DataError(f"{url} cannot be opened with storage_options ({error})") from error
    try:
        if any(mark in path for mark in "*?["):
            names = fs.glob(path)
        elif path.endswith(".parquet"):
            # Not isdir() or exists(): over HTTP they begin to fetch the whole file.
            fs.info(path)
            names = [path]
        else:
            names = fs.find(path, maxdepth=1)
    except FileNotFoundError:
        names = []
    except Exception as error:  # each file system has errors of its own, not all of them OSError
        raise DatasetNotFoundError(f"{url} cannot be listed ({error!r})") from error
    if not names:
        raise DatasetNotFoundError(
            f"no such file or directory: {url}; expected a dataset directory, a directory of "
            "parquet files, a glob pattern or a parquet file"
        )
    return tuple(RemoteFile(fs, str(name)) for name in names)
