"""From what the user names to the parquet files, in order."""

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emberline.artifacts import MANIFEST, Manifest, open_directory, parse_manifest, recover
from emberline.dataloaders.errors import DatasetNotFoundError
from emberline.dataloaders.remote import RemoteFile, find_remote, is_remote
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, DataError
from emberline.etl.schema import SCHEMA_FILE, Schema

__all__ = ["DATASET_VERSION", "DataFile", "FileList", "find_files"]

DATASET_VERSION = 1
"""The newest dataset directory that the loader reads."""

_GLOB = re.compile(r"[*?\[]")
PathLike = str | os.PathLike[str]
DataFile = Path | RemoteFile


@dataclass(frozen=True, kw_only=True)
class FileList:
    """What was found.

    Attributes:
        files: parquet files; those of one directory or pattern in natural order (part_2 before
            part_10), those of a list in the list's order.
        schema: of the dataset directory that the ETL wrote, None for bare files.
    """

    files: tuple[DataFile, ...]
    schema: Schema | None


def find_files(
    data: PathLike | Sequence[PathLike], *, storage_options: Mapping[str, Any] | None = None
) -> FileList:
    """Find the files of a dataset directory, a directory, a glob pattern or a list of those.

    Each may also be an address that fsspec knows, as `s3://bucket/data`; `storage_options` are
    then what its file system takes (keys, endpoints, ...).

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
    if storage_options and not any(is_remote(item) for item in items):
        raise DataError(f"storage_options are for addresses like 's3://...', not for {data!r}")
    files: list[DataFile] = []
    schema: Schema | None = None
    for item in items:
        found = _find_remote(item, storage_options) if is_remote(item) else _find(item)
        if schema is not None and found.schema is not None and found.schema != schema:
            raise DataError(
                f"{os.fspath(item)} has another schema than the dataset before it; "
                "load them with one Loader each, or run both through the same workflow"
            )
        files += found.files
        schema = schema or found.schema
    seen: set[DataFile] = set()
    for file in files:
        if file in seen:
            raise DataError(f"{file} is given twice; its rows would come twice an epoch")
        seen.add(file)
    return FileList(files=tuple(files), schema=schema)


def _find(item: PathLike) -> FileList:
    path = Path(os.fspath(item).removeprefix("file://"))
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
    files = tuple(sorted((path / n for n in _part_names(manifest, str(path))), key=_natural))
    return FileList(files=files, schema=Schema.load(path / SCHEMA_FILE))


def _parquet_files(path: Path) -> tuple[Path, ...]:
    files = [f for f in path.glob("*.parquet") if f.is_file() and _is_data(f.name)]
    if not files:
        raise DatasetNotFoundError(
            f"the directory {path} holds no *.parquet files; for files in its subdirectories "
            f"give a pattern: {str(path / '**' / '*.parquet')!r}"
        )
    return tuple(sorted(files, key=_natural))


def _find_remote(item: PathLike, storage_options: Mapping[str, Any] | None) -> FileList:
    url = os.fspath(item)
    found = find_remote(url, storage_options)
    by_name = {file.name: file for file in found}
    if MANIFEST in by_name or SCHEMA_FILE in by_name:
        return _remote_dataset(url.rstrip("/"), by_name)
    files = found if len(found) == 1 else tuple(f for f in found if _is_data(f.name))
    if not files:
        raise DatasetNotFoundError(
            f"{url} holds no *.parquet files; for files in its subdirectories give a pattern: "
            f"{url.rstrip('/') + '/**/*.parquet'!r}"
        )
    return FileList(files=tuple(sorted(files, key=_natural)), schema=None)


def _remote_dataset(url: str, by_name: Mapping[str, RemoteFile]) -> FileList:
    """Like `open_directory`, but for the files' sizes, which would cost a request each."""
    if MANIFEST not in by_name:
        raise ArtifactMissingError(
            f"no complete dataset at {url}: {MANIFEST} is missing (an interrupted save?)"
        )
    manifest = parse_manifest(
        by_name[MANIFEST].read_bytes(), url, kind="dataset", max_version=DATASET_VERSION
    )
    names = _part_names(manifest, url)
    for name in (*names, SCHEMA_FILE):
        if name not in by_name:
            raise ArtifactCorruptError(f"{url}/{name} is missing; restore the directory")
    try:
        schema = Schema.from_dict(json.loads(by_name[SCHEMA_FILE].read_bytes()))
    except ValueError as error:
        raise ArtifactCorruptError(
            f"{url}/{SCHEMA_FILE} is not a schema ({error}); restore the directory"
        ) from error
    return FileList(
        files=tuple(sorted((by_name[name] for name in names), key=_natural)), schema=schema
    )


def _part_names(manifest: Manifest, directory: str) -> list[str]:
    names = [name for name in manifest.files if "/" not in name and name.endswith(".parquet")]
    if not names:
        raise DatasetNotFoundError(f"the dataset {directory} holds no parquet files")
    return names


def _is_data(name: str) -> bool:
    return name.endswith(".parquet") and name[0] not in "._"


def _natural(file: DataFile) -> list[tuple[bool, int, str]]:
    """Sort key: digits by value, so that part_2 comes before part_10."""
    parts = re.split(r"(\d+)", str(file))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
