"""Which files a path means, and the plan that reads them."""

import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl
from polars.exceptions import PolarsError

from emberline.artifacts import MANIFEST, open_directory, recover
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, DataError
from emberline.etl.csv_format import CsvFormat
from emberline.etl.dtypes import dtype_of
from emberline.etl.errors import UnsupportedError
from emberline.etl.merlin_schema import stored_merlin_schema
from emberline.etl.remote_files import RemoteDirectory, is_remote, scan_remote
from emberline.etl.schema import SCHEMA_FILE, Schema
from emberline.etl.write_options import DATASET_KIND, DATASET_VERSION, FILE_LIST

__all__ = ["Engine", "Source", "find_source"]

Engine = Literal["parquet", "csv", "ipc"]

_SUFFIXES: dict[str, Engine] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
}
#: In a directory; other spellings must be asked for, as a directory has more than data.
_IN_DIRECTORIES = {".parquet", ".csv", ".tsv", ".arrow", ".feather", ".ipc"}
_NAMES: dict[str, Engine] = {"arrow": "ipc", "feather": "ipc"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one layout.

    Attributes:
        engine: how they are read.
        files: in order; on a remote file system their paths there.
        remote: the file system of `files`, or None for local ones.
        schema: ours, stored beside the files: selects columns.
        hints: Merlin's schema, stored beside the files: tags and properties.
        partitioned: columns that are directories (`column=value/`), not in the files.
    """

    engine: Engine
    files: tuple[str, ...]
    remote: RemoteDirectory | None = None
    schema: Schema | None = None
    hints: Schema | None = None
    partitioned: tuple[str, ...] = ()
    csv: CsvFormat = field(default_factory=CsvFormat)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The local files; empty for remote ones."""
        return () if self.remote is not None else tuple(Path(file) for file in self.files)

    @property
    def sliceable(self) -> bool:
        """Whether the engine reaches a row without reading those before it."""
        return self.remote is None and self.engine != "csv"

    def scan(self, dtypes: Mapping[str, str]) -> pl.LazyFrame:
        """Give the plan of all files.

        Args:
            dtypes: of CSV columns; the reader converts while it parses.

        Raises:
            DataError: a file that is damaged or differs from the first (named).
            ColumnNotFoundError: `dtypes` names a column that a CSV file has not.
        """
        if self.remote is not None:
            return scan_remote(self.remote, self.files, lambda file: self._scan([file], dtypes))
        return self._scan([Path(file) for file in self.files], dtypes)

    def scan_each(self, dtypes: Mapping[str, str]) -> list[pl.LazyFrame]:
        """Give one plan for each file."""
        if self.remote is not None:
            one = partial(scan_remote, self.remote, scan=lambda file: self._scan([file], dtypes))
            return [one([file]) for file in self.files]
        return [self._scan([Path(file)], dtypes) for file in self.files]

    def _scan(self, files: Sequence[Path], dtypes: Mapping[str, str]) -> pl.LazyFrame:
        if self.engine == "csv":
            return self.csv.scan(files, dtypes)
        if self.engine == "ipc":
            _check(files, pl.read_ipc_schema, "an Arrow IPC file")
            return pl.scan_ipc(list(files), glob=False)
        _check(files, pl.read_parquet_schema, "a parquet file")
        hive = {}
        if self.partitioned:
            assert self.schema is not None, "only our own directories are partitioned"
            hive = {name: dtype_of(self.schema[name]) for name in self.partitioned}
        return pl.scan_parquet(
            list(files), glob=False, hive_partitioning=bool(hive), hive_schema=hive or None
        )


def _natural(file: str) -> list[tuple[int, str]]:
    # part_10 after part_2.
    return [(int(t), "") if t.isdigit() else (-1, t) for t in re.split(r"(\d+)", file)]


def find_source(
    source: object,
    engine: str | None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    csv: Mapping[str, Any] | None = None,
) -> Source:
    """Give the files that `source` means.

    Args:
        source: a path, pattern, directory or address, or a list of them.
        engine: "parquet", "csv", "ipc" ("arrow", "feather"), or None to go by the suffix.
        storage_options: for remote file systems.
        csv: arguments of `CsvFormat`.

    Raises:
        DataError: no such file, a suffix that says nothing, arguments that do not fit.
        UnsupportedError: an engine of NVTabular that is not offered.
        ArtifactError: a directory of ours that is damaged, or another kind of directory.
    """
    kind = _engine(engine)
    found = _find(source, kind, storage_options)
    if csv:
        if found.engine != "csv":
            raise DataError(
                f"{', '.join(csv)}: an argument of csv files, these are {found.engine}; leave it "
                'out or give engine="csv"'
            )
        return _with(found, csv=CsvFormat.from_arguments(csv))
    tabbed = found.engine == "csv" and found.files[0].endswith(".tsv")
    return _with(found, csv=CsvFormat(sep="\t")) if tabbed else found


def _with(source: Source, **changes: Any) -> Source:
    return Source(**{**vars(source), **changes})


def _engine(engine: str | None) -> Engine | None:
    if engine == "avro":
        raise UnsupportedError("engine='avro' is not offered; convert the files to parquet")
    kind = _NAMES.get(str(engine), engine)
    for known in get_args(Engine):
        if kind == known:
            return _SUFFIXES.get(f".{known}")
    if kind is not None:
        raise DataError(f"engine must be 'parquet', 'csv', 'ipc' or None, got {engine!r}")
    return None


def _find(
    source: object, engine: Engine | None, storage_options: Mapping[str, Any] | None
) -> Source:
    if isinstance(source, (list, tuple)):
        if not source:
            raise DataError("the list of files is empty")
        found = [_find(item, engine, storage_options) for item in source]
        for other in found[1:]:
            if (other.engine, other.remote is None) != (found[0].engine, found[0].remote is None):
                raise DataError(
                    f"{found[0].files[0]} and {other.files[0]} are of two kinds "
                    f"({found[0].engine}, {other.engine}); open them as two data sets"
                )
        return _with(found[0], files=tuple(file for one in found for file in one.files))
    if not isinstance(source, (str, os.PathLike)):
        raise DataError(
            f"a data set is made from a path, a list of paths, a Polars or pandas frame or a "
            f"pyarrow Table, got {type(source).__name__}"
        )
    text = os.fspath(source)
    if is_remote(text) and not text.startswith("file://"):
        return _find_remote(RemoteDirectory(text, storage_options), engine)
    path = Path(text.removeprefix("file://"))
    recover(path)  # a writer may have died between putting the old aside and the new in place
    if path.is_dir():
        return _find_directory(path, engine)
    if path.is_file():
        return _make([str(path)], engine, _schemas(path.parent, _reader(path.parent)))
    matches = sorted(glob.glob(str(path), recursive=True), key=_natural)
    if not matches:
        raise DataError(f"{path}: no such file or directory, and no file matches it as a pattern")
    parent = Path(matches[0]).parent
    return _make(matches, engine, _schemas(parent, _reader(parent)))


def _find_directory(path: Path, engine: Engine | None) -> Source:
    # With our schema but no manifest it is an interrupted copy, which open_directory refuses.
    if (path / MANIFEST).is_file() or (path / SCHEMA_FILE).is_file():
        manifest = open_directory(
            path, kind=DATASET_KIND, max_version=DATASET_VERSION, verify=False
        )
        if FILE_LIST not in manifest.files:
            raise ArtifactCorruptError(f"{path / FILE_LIST} is missing; restore the directory")
        parts = _listed(path / FILE_LIST, (path / FILE_LIST).read_text("utf-8"), manifest.files)
        return Source(
            engine="parquet",
            files=tuple(str(path / name) for name in parts),
            schema=Schema.load(path),
            partitioned=tuple(manifest.info.get("partition_on", ())),
        )
    names = [str(f) for f in path.iterdir() if f.is_file()]
    files = _of_engine(names, engine)
    if not files:
        raise DataError(f"{path} holds no {engine or 'parquet, csv or ipc'} file")
    return _make(files, engine, _schemas(path, _reader(path)))


def _find_remote(remote: RemoteDirectory, engine: Engine | None) -> Source:
    files = sorted(remote.files(), key=_natural)
    if not files:
        raise DataError(f"{remote.url}: no such file or directory, and no file matches it")
    if not remote.is_directory():
        return _with(_make(files, engine, None), remote=remote)
    manifest, schema = remote.read(MANIFEST), remote.read(SCHEMA_FILE)
    listed = remote.read(FILE_LIST)
    if manifest is None and schema is None:
        chosen = _of_engine(files, engine)
        if not chosen:
            raise DataError(f"{remote.url} holds no {engine or 'parquet, csv or ipc'} file")
        hints = _schemas(remote.url, remote.read)
        return _with(_make(chosen, engine, hints), remote=remote)
    if manifest is None or schema is None or listed is None:
        raise ArtifactMissingError(
            f"no complete {DATASET_KIND} at {remote.url}: {MANIFEST} or {SCHEMA_FILE} is missing "
            "(an interrupted save?)"
        )
    try:
        content = json.loads(manifest)
        parts = _listed(remote.url, listed.decode(), content["files"])
        partitioned = content["info"].get("partition_on", ())
        parsed = Schema.from_dict(json.loads(schema))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactCorruptError(f"{remote.url}: {error}; restore the directory") from error
    if partitioned:
        raise UnsupportedError(
            f"{remote.url} is partitioned by {partitioned}; copy it to a local directory to read it"
        )
    return Source(
        engine="parquet",
        files=tuple(f"{remote.path.rstrip('/')}/{name}" for name in parts),
        remote=remote,
        schema=parsed,
    )


def _listed(where: object, text: str, known: Iterable[str]) -> list[str]:
    """Give the parts of a directory of ours in order, as `_file_list.txt` has them."""
    names = text.splitlines()[1:]
    parts = [name for name in known if name.endswith(".parquet")]
    if sorted(names) != sorted(parts):
        raise ArtifactCorruptError(
            f"{where} lists other files than the manifest ({len(names)}, {len(parts)}); restore "
            "the directory"
        )
    return names


def _make(files: list[str], engine: Engine | None, hints: Schema | None) -> Source:
    kind = engine or _SUFFIXES.get(Path(files[0]).suffix.lower(), "parquet")
    return Source(engine=kind, files=tuple(files), hints=hints)


def _of_engine(names: Sequence[str], engine: Engine | None) -> list[str]:
    """Give the files of one engine among those of a directory, in order."""
    visible = sorted((n for n in names if not Path(n).name.startswith(("_", "."))), key=_natural)
    for kind in [engine] if engine else get_args(Engine):
        suffixes = {s for s in _IN_DIRECTORIES if _SUFFIXES[s] == kind}
        files = [name for name in visible if Path(name).suffix in suffixes]
        if files:
            return files
    return []


def _reader(directory: Path) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        file = directory / name
        return file.read_bytes() if file.is_file() else None

    return read


def _schemas(where: object, read: Callable[[str], bytes | None]) -> Schema | None:
    return stored_merlin_schema(read, where=str(where))


def _check(
    files: Sequence[Path], read: Callable[[Path], Mapping[str, pl.DataType]], what: str
) -> None:
    """Refuse files that are damaged or differ from the first."""
    first: Mapping[str, pl.DataType] | None = None
    for file in files:
        try:
            schema = read(file)
        except (PolarsError, OSError) as error:
            size = file.stat().st_size
            is_what = "is empty" if size == 0 else f"is truncated, damaged or not {what}"
            raise DataError(f"{file} ({size} bytes) {is_what} ({error})") from error
        first = schema if first is None else first
        if dict(schema) != dict(first):
            different = {
                name: (first.get(name), schema.get(name))
                for name in [*first, *schema]
                if first.get(name) != schema.get(name)
            }
            raise DataError(
                f"{file} has other columns than {files[0]}: "
                + ", ".join(f"{n!r} is {b} instead of {a}" for n, (a, b) in different.items())
            )
