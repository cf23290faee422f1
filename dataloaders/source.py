"""Parquet files as numbered row groups of decoded columns."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emberline.dataloaders import polars_decoder
from emberline.dataloaders.column import Column, ColumnFormat
from emberline.dataloaders.errors import MissingColumnError, ParquetFileError
from emberline.dataloaders.files import DataFile, FileList
from emberline.dataloaders.fill import fill_values
from emberline.dataloaders.remote import RemoteFile
from emberline.dataloaders.roles import Roles
from emberline.errors import DataError, nearest
from emberline.etl.schema import Schema

__all__ = ["ParquetSource"]

_LARGE_ROW_GROUP_VALUES = 2**24


_TAIL_BYTES = 64 * 1024


class ParquetSource:
    """The row groups of all files, numbered through, and how to decode them.

    Only the footers are read here, once. No file stays open between reads.

    Attributes:
        roles: what the columns are for.
        formats: the columns of a batch, features first, then targets, then weights.
        schema: of the dataset, if it has one.
        row_group_rows: rows of every row group, files in order.
        fingerprint: changes when a file's name, layout or content changes (a hash of the names
            and footers, which hold sizes, encodings and statistics of every column chunk).
    """

    def __init__(
        self,
        found: FileList,
        *,
        columns: Iterable[str] | None = None,
        targets: str | Iterable[str] | None = None,
        weights: str | None = None,
        fill: object = None,
    ) -> None:
        """Read the footers and check that all files agree.

        Args:
            found: the files.
            columns: the feature columns; None is all of them without another role.
            targets: None is the schema's columns tagged "target"; an empty list is none.
            weights: the column of row weights.
            fill: what stands for a null; see `fill_values`.

        Raises:
            MissingColumnError: a column that the files do not have.
            ParquetFileError: a file that is not parquet, truncated or damaged.
            DataError: files that differ, a type without a place in a batch, name clashes.
        """
        self.files: tuple[DataFile, ...] = found.files
        self.schema = found.schema
        self._metadata: list[pq.FileMetaData] = []
        self._size_bytes: list[int] = []
        schemas: list[pa.Schema] = []
        digest = hashlib.sha256()
        for file in self.files:
            try:
                self._size_bytes.append(_size_bytes(file))
                metadata, schema, footer = _read_footer(file)
            except _errors(file) as error:
                raise ParquetFileError(
                    f"{file} is not a complete parquet file ({error}); a truncated copy or another "
                    "format: write or copy it again"
                ) from error
            self._metadata.append(metadata)
            # One object for equal schemas: comparing a thousand of them by column takes longer
            # than reading them.
            schemas.append(schemas[0] if schemas and schema.equals(schemas[0]) else schema)
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(footer).digest())
        self.fingerprint: str = digest.hexdigest()[:32]
        self.roles = Roles.choose(
            found.schema.names if found.schema is not None else schemas[0].names,
            columns=columns,
            targets=targets,
            weights=weights,
            schema=found.schema,
        )
        if found.schema is None and columns is None:
            self._check_same_names(schemas)
        formats = [self._format(name, schemas, found.schema) for name in self.roles]
        types = {name: schemas[0].field(name).type for name in self.roles}
        fills = fill_values(fill, types)
        self.formats: tuple[ColumnFormat, ...] = tuple(
            form.with_fill(fills.get(form.name)) for form in formats
        )
        self.roles.check(self.formats)
        self._polars = [polars_decoder.can_decode(m, self.formats) for m in self._metadata]
        self._first_rows = [list(accumulate(_group_rows(m), initial=0)) for m in self._metadata]
        self._row_groups = [
            (file, group)
            for file, metadata in enumerate(self._metadata)
            for group in range(metadata.num_row_groups)
        ]
        self.row_group_rows: tuple[int, ...] = tuple(chain(*map(_group_rows, self._metadata)))
        if sum(self.row_group_rows) == 0:
            raise DataError(
                f"no rows in {len(self.files)} parquet file(s), the first is {self.files[0]}"
            )

    def __str__(self) -> str:
        return f"{len(self.files)} files"

    def read(self, index: int) -> dict[str, list[Column]]:
        """Decode one row group.

        Args:
            index: into `row_group_rows`.

        Returns:
            For every column its parts in row order (one, but for columns over 2 GB).

        Raises:
            ParquetFileError: the file is damaged, gone or replaced; names file and row group.
            DataError: nulls, or a fixed-length list of another length; names them too.
        """
        file, group = self._row_groups[index]
        where = f"{self.files[file]}, row group {group}"
        names = [form.name for form in self.formats]
        try:
            size_bytes = _size_bytes(self.files[file])
            if size_bytes != self._size_bytes[file]:
                raise OSError(f"{size_bytes} bytes, it had {self._size_bytes[file]}")
            table = self._decode(file, group, names)
        except _errors(self.files[file]) as error:
            raise ParquetFileError(
                f"{where} cannot be read ({error}); the file is damaged or was replaced while "
                "in use: write it again"
            ) from error
        if table.num_rows != self.row_group_rows[index]:
            raise ParquetFileError(
                f"{where} has {table.num_rows} rows, its footer said "
                f"{self.row_group_rows[index]}; the file was replaced while in use"
            )
        columns: dict[str, list[Column]] = {}
        for form in self.formats:
            chunks = table.column(form.name).chunks
            try:
                columns[form.name] = [Column.decode(chunk, form) for chunk in chunks]
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
        return columns

    def _decode(self, file: int, group: int, names: Sequence[str]) -> pa.Table:
        path = self.files[file]
        if self._polars[file] and not isinstance(path, RemoteFile):
            first, end = self._first_rows[file][group : group + 2]
            table = polars_decoder.decode(path, names, first, end - first)
            if table is not None:
                return table
        with (
            _open(path) as handle,
            pq.ParquetFile(
                handle,
                metadata=self._metadata[file],
                pre_buffer=True,
                page_checksum_verification=True,
            ) as parquet,
        ):
            # The reader's own threads decode: pyarrow's pool would compete with training. But a
            # row group so large that it is read alone would leave all of them but one waiting.
            values = self._metadata[file].row_group(group).num_rows * len(names)
            large = values >= _LARGE_ROW_GROUP_VALUES
            return parquet.read_row_group(group, columns=names, use_threads=large)

    def _check_same_names(self, schemas: Sequence[pa.Schema]) -> None:
        """All columns were asked for: a column in only some files must not vanish silently."""
        first = schemas[0].names
        for file, schema in zip(self.files, schemas, strict=True):
            for name in schema.names:
                if name not in first:
                    raise DataError(
                        f"column {name!r} is in {file} but not in {self.files[0]}; files of one "
                        "Loader need the same columns, or choose some with columns="
                    )

    def _format(
        self, name: str, schemas: Sequence[pa.Schema], declared: Schema | None
    ) -> ColumnFormat:
        first: ColumnFormat | None = None
        for index, (file, schema) in enumerate(zip(self.files, schemas, strict=True)):
            if first is not None and first.layout != "fixed" and schema is schemas[0]:
                continue
            count = schema.names.count(name)
            if count == 0:
                raise MissingColumnError(
                    f"column {name!r} is not in {file}{nearest(name, schema.names)}"
                )
            if count > 1:
                raise DataError(f"{file} has {count} columns named {name!r}; rename them")
            form = ColumnFormat.from_arrow(name, schema.field(name).type)
            column = declared[name] if declared is not None and name in declared else None
            if form.layout == "ragged" and column is not None and not column.is_ragged:
                if not column.is_list:
                    raise DataError(
                        f"column {name!r} holds lists in {file}, its schema says it does not; "
                        "write the dataset again"
                    )
                form = form.with_width(_width(name, column.properties, self._metadata[index]))
            first = first or form
            if form != first:
                raise DataError(
                    f"column {name!r} is {form} in {file} but {first} in {self.files[0]}; "
                    "files of one Loader need the same types: cast the column in the workflow"
                )
        assert first is not None, "there is at least one file"
        return first


def _group_rows(metadata: pq.FileMetaData) -> list[int]:
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _size_bytes(file: DataFile) -> int:
    return file.size_bytes() if isinstance(file, RemoteFile) else file.stat().st_size


def _open(file: DataFile) -> AbstractContextManager[Any]:
    """Open for reading: a local file by pyarrow itself, which reads without the GIL."""
    opened: AbstractContextManager[Any]
    opened = file.open() if isinstance(file, RemoteFile) else pa.OSFile(str(file))
    return opened


def _errors(file: DataFile) -> tuple[type[Exception], ...]:
    # Each remote file system raises what its client library raises.
    return (Exception,) if isinstance(file, RemoteFile) else (OSError, pa.ArrowException)


def _read_footer(file: DataFile) -> tuple[pq.FileMetaData, pa.Schema, bytes]:
    """Read the footer parsed, its Arrow schema, and its bytes."""
    with _open(file) as handle:
        whole = handle.seek(0, os.SEEK_END)
        # One read, which on a remote file is one request: nearly all footers are shorter.
        tail = _tail(handle, whole, _TAIL_BYTES)
        size_bytes = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < size_bytes <= whole:
            tail = _tail(handle, whole, size_bytes)
    with pq.ParquetFile(pa.BufferReader(tail)) as parquet:
        return parquet.metadata, parquet.schema_arrow, tail[-size_bytes:-8]


def _tail(handle: Any, whole_bytes: int, size_bytes: int) -> bytes:
    handle.seek(max(whole_bytes - size_bytes, 0))
    return bytes(handle.read(size_bytes))


def _width(name: str, properties: object, metadata: pq.FileMetaData) -> int:
    """Give the list length of a column that the schema declares fixed.

    From the schema's `value_count` if it is there; else from the first row group with rows, whose
    footer counts the elements. `Column.decode` checks every list against it.
    """
    count = properties.get("value_count") if isinstance(properties, dict) else None
    if isinstance(count, dict) and count.get("max") and count.get("min") == count["max"]:
        return int(count["max"])
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = map(group.column, range(group.num_columns))
        for chunk in chunks:
            if group.num_rows and chunk.path_in_schema.startswith(f"{name}."):
                return int(chunk.num_values // group.num_rows)
    return 0
