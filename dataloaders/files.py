"""From what the user names to the parquet files, in order."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emberline.artifacts import MANIFEST, open_directory, recover
from emberline.dataloaders.errors import DatasetNotFoundError
from emberline.errors import DataError
from emberline.etl.schema import SCHEMA_FILE, Schema

__all__ = ["DATASET_VERSION", "FileList", "find_files"]

DATASET_VERSION = 1
"""The newest dataset directory that the loader reads."""

_GLOB = re.compile(r"[*?\[]")
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class FileList:
    """What was found.

    Attributes:
        files: parquet files; those of one directory or pattern in natural order (part_2 before
            part_10), those of a list in the list's order.
        schema: of the dataset directory that the ETL wrote, None for bare files.
    """

    files: tuple[Path, ...]
    schema: Schema | None


def find_files(data: PathLike | Sequence[PathLike]) -> FileList:
    """Find the files of a dataset directory, a directory, a glob pattern or a list of those.

    A directory that the ETL wrote is checked against its manifest (the sizes; a checksum of all
    the data would cost as much as an epoch). In any other directory every `*.parquet` counts
    whose name does not start with "." or "_".

    Raises:
        DatasetNotFoundError: no such path, or no parquet files there.
        ArtifactError: an interrupted, damaged or newer dataset directory.
        DataError: one file twice, or dataset directories with different schemas.
    """
    items = [data] if isinstance(data, str | os.PathLike) else list(data)
    if not items:
        raise DatasetNotFoundError("an empty list of files; give at least one parquet file")
    files: list[Path] = []
    schema: Schema | None = None
    for item in items:
        found = _find(item)
        if schema is not None and found.schema is not None and found.schema != schema:
            raise DataError(
                f"{os.fspath(item)} has another schema than the dataset before it; "
                "load them with one Loader each, or run both through the same workflow"
            )
        files += found.files
        schema = schema or found.schema
    seen: set[Path] = set()
    for file in files:
        if file in seen:
            raise DataError(f"{file} is given twice; its rows would come twice an epoch")
        seen.add(file)
    return FileList(files=tuple(files), schema=schema)


def _find(item: PathLike) -> FileList:
    path = Path(item)
    recover(path)  # a replacement that was cut short leaves the old dataset under a hidden name
    if path.is_file():
        return FileList(files=(path,), schema=None)
    if path.is_dir():
        if (path / MANIFEST).is_file() or (path / SCHEMA_FILE).is_file():
            return _find_dataset(path)
        return FileList(files=_parquet_files(path), schema=None)
    if _GLOB.search(os.fspath(item)):
        files = [Path(name) for name in glob.glob(os.fspath(item), recursive=True)]
        files = sorted((file for file in files if file.is_file()), key=_natural)
        if not files:
            raise DatasetNotFoundError(f"no file matches {os.fspath(item)!r}")
        return FileList(files=tuple(files), schema=None)
    raise DatasetNotFoundError(
        f"no such file or directory: {path}; expected a dataset directory, a directory of "
        "parquet files, a glob pattern or a list of parquet files"
    )


def _find_dataset(path: Path) -> FileList:
    manifest = open_directory(path, kind="dataset", max_version=DATASET_VERSION, verify=False)
    names = [name for name in manifest.files if "/" not in name and name.endswith(".parquet")]
    if not names:
        raise DatasetNotFoundError(f"the dataset {path} holds no parquet files")
    files = tuple(sorted((path / name for name in names), key=_natural))
    return FileList(files=files, schema=Schema.load(path / SCHEMA_FILE))


def _parquet_files(path: Path) -> tuple[Path, ...]:
    files = [f for f in path.glob("*.parquet") if f.is_file() and f.name[0] not in "._"]
    if not files:
        raise DatasetNotFoundError(
            f"the directory {path} holds no *.parquet files; for files in its subdirectories "
            f"give a pattern: {str(path / '**' / '*.parquet')!r}"
        )
    return tuple(sorted(files, key=_natural))


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """Sort key: digits by value, so that part_2 comes before part_10."""
    parts = re.split(r"(\d+)", str(file))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
