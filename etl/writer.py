"""Writing the data set directory.

part_0.parquet ...       zstd, row groups of a fixed number of rows
schema.json              ours (`Schema`)
_metadata                the parts' parquet footers in one
_metadata.json           rows of each file; categorical, continuous and target columns by position
_file_list.txt           the number of parts, then one name a line
.merlin/schema.json, schema.pbtxt    the schema as Merlin's tools read it
_manifest.json            sizes and checksums, last
"""

import datetime
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import polars as pl

from emberline.artifacts import write_directory
from emberline.errors import DataError, nearest
from emberline.etl.errors import ColumnNotFoundError, ColumnTypeError
from emberline.etl.execution import collect, reading
from emberline.etl.merlin_files import write_merlin_files
from emberline.etl.progress import progress
from emberline.etl.schema import SCHEMA_FILE, Schema
from emberline.etl.shuffle import sort_by_key
from emberline.etl.write_options import DATASET_KIND, DATASET_VERSION, WriteOptions

__all__ = ["FILE_INDEX", "write_dataset"]

#: The column of `numbered` plans: which input file a row comes from, uint32.
FILE_INDEX = "\x1ffile"

#: Each value of `partition_on` is a pass over the rows; more of them is hardly what was meant.
MOST_PARTITIONS = 1_000
#: What Hive, Spark and Polars call the directory of nulls.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def write_dataset(
    frame: pl.LazyFrame,
    schema: Schema,
    path: str | os.PathLike[str],
    *,
    options: WriteOptions,
    files: Sequence[Path] = (),
    inputs: Sequence[str] = (),
) -> None:
    """Run the plan into a data set directory that appears complete or not at all.

    The streaming engine writes the rows in order and in bounded memory. Unless they go into one
    file in their own order, they go through one temporary file inside the directory that is being
    written.

    Args:
        frame: the rows; with `options.preserve_files` also `FILE_INDEX`.
        schema: its columns, `FILE_INDEX` excluded.
        path: the directory.
        options: how.
        files: what the plan reads, for error messages.
        inputs: the names of the input files, for `options.preserve_files`.

    Raises:
        DataError: arguments that do not fit the data, a damaged input file (named).
        OSError: a full disk and the like.
    """
    _check_partitions(schema, options.partition_on)
    names = _preserved(inputs, options) if options.preserve_files else list(options.files)
    with write_directory(path, kind=DATASET_KIND, version=DATASET_VERSION) as staging:
        one_pass = options.shuffle is None and len(names) == 1 and not options.partition_on
        if one_pass and not options.preserve_files:
            parts = [staging.path / names[0]]
            with reading(files), progress(f"writing {path}", file=parts[0]):
                _sink(frame, parts[0], options)
        else:
            with progress(f"writing {path}", file=staging.path / "rows.tmp"):
                parts = _write_parts(frame, staging.path, names, files, options)
        schema.save(staging.path / SCHEMA_FILE)
        rows = write_merlin_files(staging.path, parts, schema)
        staging.info.update(rows=rows, row_group_size=options.row_group_size, files=len(parts))
        if options.partition_on:
            staging.info["partition_on"] = list(options.partition_on)


def _check_partitions(schema: Schema, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in schema:
            raise ColumnNotFoundError(
                f"partition_on: no column {name!r}{nearest(name, schema.names)}"
            )
        column = schema[name]
        if column.is_list or not column.dtype.startswith(("int", "uint", "string", "date", "bool")):
            raise ColumnTypeError(
                f"partition_on: column {name!r} has dtype {column.dtype}"
                f"{' lists' if column.is_list else ''}; its values become directory names and must "
                "be integers, strings, dates or booleans"
            )
        if column.dtype.startswith("datetime"):
            raise ColumnTypeError(f"partition_on: column {name!r} is a time; cast it to a date")
    if columns and len(set(columns)) == len(schema):
        raise DataError("partition_on names every column; nothing would be left in the files")


def _preserved(inputs: Sequence[str], options: WriteOptions) -> list[str]:
    names = [PurePosixPath(name).stem + options.suffix for name in inputs]
    if not names:
        raise DataError("preserve_files needs input files; this data set is made of frames")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"preserve_files: two input files would both become {name}")
    return names


def _sink(frame: pl.LazyFrame, file: Path, options: WriteOptions, compression: Any = None) -> None:
    frame.sink_parquet(
        file,
        compression=compression or options.compression,
        row_group_size=options.row_group_size,
        maintain_order=True,
        engine="streaming",
    )


def _write_parts(
    frame: pl.LazyFrame,
    directory: Path,
    names: Sequence[str],
    files: Sequence[Path],
    options: WriteOptions,
) -> list[Path]:
    whole = directory / "rows.tmp"
    with reading(files):
        # lz4: written once and read back at once, so speed matters more than size.
        _sink(frame, whole, options, "lz4")
    source = pl.scan_parquet(whole, glob=False)
    rows = int(collect(source.select(pl.len())).item())
    buckets: list[Path] = []
    if options.shuffle is not None:
        shuffled = sort_by_key(
            source, rows=rows, seed=options.shuffle, bucket_rows=options.bucket_rows
        )
        with reading():
            buckets = [
                _bucket(directory, i, part, options.row_group_size)
                for i, part in enumerate(shuffled)
            ]
        source = pl.scan_parquet(buckets, glob=False)
        whole.unlink()
    parts = []
    for name, plan in _split(source, rows, names, options):
        parts.append(directory / name)
        parts[-1].parent.mkdir(parents=True, exist_ok=True)
        with reading():
            _sink(plan, parts[-1], options)
    for file in [whole, *buckets]:
        file.unlink(missing_ok=True)
    return parts


def _split(
    source: pl.LazyFrame, rows: int, names: Sequence[str], options: WriteOptions
) -> Iterator[tuple[str, pl.LazyFrame]]:
    """Give the output files, each with its rows."""
    if options.partition_on:
        yield from _partitions(source, options)
        return
    for i, name in enumerate(names):
        if options.preserve_files:
            yield name, source.filter(pl.col(FILE_INDEX) == i).drop(FILE_INDEX)
        else:
            start, stop = rows * i // len(names), rows * (i + 1) // len(names)
            yield name, source.slice(start, stop - start)


def _partitions(source: pl.LazyFrame, options: WriteOptions) -> Iterator[tuple[str, pl.LazyFrame]]:
    columns = list(options.partition_on)
    values = collect(source.select(columns).unique()).sort(columns)
    if values.height == 0:
        raise DataError(f"partition_on={columns} would write no file: there are no rows")
    if values.height > MOST_PARTITIONS:
        raise DataError(
            f"partition_on={columns} gives {values.height} directories, at most {MOST_PARTITIONS} "
            "are written; choose columns with fewer values"
        )
    for row in values.iter_rows():
        matches = [
            pl.col(name).eq_missing(pl.lit(value, dtype=values.schema[name]))
            for name, value in zip(columns, row, strict=True)
        ]
        folders = [_folder(name, value) for name, value in zip(columns, row, strict=True)]
        yield "/".join([*folders, options.files[0]]), source.filter(*matches).drop(columns)


def _folder(name: str, value: Any) -> str:
    """Give the Hive spelling of a value's directory."""
    if value is None:
        return f"{quote(name)}={_HIVE_NULL}"
    if value in ("", _HIVE_NULL):
        raise DataError(
            f"partition_on: column {name!r} has the value {value!r}, which no directory can stand "
            "for; replace it before"
        )
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, datetime.date):
        text = value.isoformat()
    return f"{quote(name)}={quote(text, safe='')}"


def _bucket(directory: Path, index: int, frame: pl.DataFrame, row_group_size: int) -> Path:
    file = directory / f"bucket_{index}.tmp"
    frame.write_parquet(file, compression="lz4", row_group_size=row_group_size)
    return file
