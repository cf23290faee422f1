"""Files on remote file systems, through fsspec."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from emberline.errors import DataError
from emberline.etl.errors import UnsupportedError

__all__ = ["RemoteDirectory", "is_remote", "scan_remote"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://")


def is_remote(path: object) -> bool:
    """Say whether a path names a file system, as `s3://bucket/data` does."""
    return isinstance(path, str) and _URL.match(path) is not None


class RemoteDirectory:
    """A path on a remote file system: what it holds, and how to fetch it.

    Attributes:
        path: inside the file system, without the protocol.
        url: as given.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Connect.

        Args:
            url: for example "s3://bucket/data" or "filecache::s3://bucket/data".
            storage_options: what fsspec passes to the file system (keys, endpoints, ...).

        Raises:
            UnsupportedError: fsspec, or the package of this protocol, is not installed.
            DataError: fsspec refuses the address or the options.
        """
        try:
            import fsspec
        except ImportError as error:
            raise UnsupportedError(
                f"{url}: remote files need fsspec and the package of the protocol; "
                "pip install 'emberline[remote]' (and s3fs, gcsfs, adlfs, ...)"
            ) from error
        self.url = url
        try:
            self.fs, self.path = fsspec.core.url_to_fs(url, **dict(storage_options or {}))
        except ImportError as error:
            raise UnsupportedError(f"{url}: {error}") from error
        except (ValueError, TypeError) as error:
            raise DataError(f"{url} cannot be opened with storage_options ({error})") from error

    def is_directory(self) -> bool:
        """Whether it holds files."""
        return bool(self.fs.isdir(self.path))

    def files(self) -> list[str]:
        """Give the files that the path means: itself, a directory's, or those of a pattern."""
        if any(mark in self.path for mark in "*?["):
            return [str(name) for name in self.fs.glob(self.path)]
        if self.is_directory():
            return [str(name) for name in self.fs.find(self.path, maxdepth=1)]
        return [self.path] if self.fs.exists(self.path) else []

    def read(self, name: str) -> bytes | None:
        """Give a small file of the directory, or None."""
        file = f"{self.path.rstrip('/')}/{name}"
        return bytes(self.fs.cat_file(file)) if self.fs.isfile(file) else None

    def fetch(self, file: str, directory: Path) -> Path:
        """Copy one file into a local directory.

        Raises:
            DataError: it cannot be fetched.
        """
        local = directory / PurePosixPath(file).name
        try:
            self.fs.get_file(file, str(local))
        except OSError as error:
            raise DataError(f"{self.full_name(file)} cannot be fetched ({error})") from error
        return local

    def upload(self, directory: Path, *, last: str) -> None:
        """Replace the remote directory by a local one; the file `last` is removed first, put last.

        A process that dies in between leaves a directory without `last`.
        """
        end = f"{self.path.rstrip('/')}/{last}"
        if self.fs.isdir(self.path) and self.fs.find(self.path):
            if not self.fs.isfile(end):
                raise FileExistsError(
                    f"{self.url} exists and holds no {last}: not a directory that emberline "
                    "wrote; remove it or choose another path"
                )
            self.fs.rm_file(end)
            self.fs.rm(self.path, recursive=True)
        for file in sorted(p for p in directory.rglob("*") if p.is_file()):
            name = file.relative_to(directory).as_posix()
            if name != last:
                target = f"{self.path.rstrip('/')}/{name}"
                self.fs.makedirs(os.path.dirname(target), exist_ok=True)
                self.fs.put_file(str(file), target)
        self.fs.put_file(str(directory / last), end)

    def full_name(self, file: str) -> str:
        """Give a file's address with its protocol, for messages."""
        return str(self.fs.unstrip_protocol(file))


def scan_remote(
    remote: RemoteDirectory, files: Sequence[str], scan: Callable[[Path], pl.LazyFrame]
) -> pl.LazyFrame:
    """Give the rows of remote files as a plan.

    When the plan runs, each file is copied to a local temporary directory, read, and removed:
    memory and disk hold one file at a time, and every pass fetches again. To keep the copies,
    put fsspec's cache before the protocol: `filecache::s3://...`.

    Args:
        remote: their file system.
        files: their paths, in order.
        scan: gives the plan of one local copy.

    Raises:
        DataError: the first file cannot be fetched or read.
    """
    with tempfile.TemporaryDirectory(prefix="emberline-") as directory:
        schema = scan(remote.fetch(files[0], Path(directory))).collect_schema()

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for file in files:
            if left is not None and left <= 0:
                return
            with tempfile.TemporaryDirectory(prefix="emberline-") as directory:
                plan = scan(remote.fetch(file, Path(directory)))
                if dict(plan.collect_schema()) != dict(schema):
                    raise DataError(
                        f"{remote.full_name(file)} has other columns than "
                        f"{remote.full_name(files[0])}"
                    )
                plan = plan if left is None else plan.head(left)
                plan = plan if predicate is None else plan.filter(predicate)
                plan = plan if with_columns is None else plan.select(with_columns)
                for batch in plan.collect_batches(chunk_size=batch_size, maintain_order=True):
                    left = None if left is None else left - batch.height
                    yield batch

    return register_io_source(read, schema=schema, is_pure=True)
