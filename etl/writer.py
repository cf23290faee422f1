"""Writing the data set directory.

part_0.parquet ...       zstd, row groups of a fixed number of rows
schema.json              ours (`Schema`)
_metadata                the parts' parquet footers in one
_file_list.txt           the number of parts, then one name a line
.merlin/schema.json, schema.pbtxt    the schema as Merlin's tools read it
_manifest.json            sizes and checksums, last
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from emberline.artifacts import write_directory
from emberline.errors import DataError, nearest
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.execution import collect, reading
from emberline.etl.merlin_files import write_merlin_files
from emberline.etl.schema import SCHEMA_FILE, Schema
from emberline.etl.shuffle import sort_by_key
from emberline.etl.tags import Tags

__all__ = ["DATASET_KIND", "DATASET_VERSION", "ROW_GROUP_SIZE", "write_dataset"]

DATASET_KIND = "dataset"
DATASET_VERSION = 1
#: Rows of a row group: small enough to shuffle windows of several, large enough to decode fast.
ROW_GROUP_SIZE = 65_536

Compression = Literal["zstd", "snappy", "lz4", "uncompressed"]


def write_dataset(
    frame: pl.LazyFrame,
    schema: Schema,
    path: str | os.PathLike[str],
    *,
    files: Sequence[Path] = (),
    shuffle: int | None = None,
    row_group_size: int = ROW_GROUP_SIZE,
    output_files: int = 1,
    compression: Compression = "zstd",
    labels: Sequence[str] = (),
) -> None:
    """Run the plan into a data set directory that appears complete or not at all.

    The streaming engine writes the rows in order and in bounded memory. With several files or a
    shuffle the rows go through one temporary file inside the directory that is being written.

    Args:
        frame: the rows.
        schema: its columns.
        path: the directory.
        files: what the plan reads, for error messages.
        shuffle: None, or the seed of a full shuffle.
        row_group_size: rows of every row group but the last of a file.
        output_files: the number of files; their sizes differ by at most one row.
        compression: of the parquet pages.
        labels: columns to tag as targets.

    Raises:
        DataError: bad arguments, a damaged input file (named).
        OSError: a full disk and the like.
    """
    if shuffle is not None and (isinstance(shuffle, bool) or not isinstance(shuffle, int)):
        raise DataError(f"shuffle must be None or an integer seed, got {shuffle!r}")
    for name, value in (("row_group_size", row_group_size), ("output_files", output_files)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DataError(f"{name} must be a positive integer, got {value!r}")
    if compression not in ("zstd", "snappy", "lz4", "uncompressed"):
        raise DataError(
            f"compression {compression!r} is unknown{nearest(str(compression), _KNOWN)}"
        )
    schema = _with_targets(schema, labels)
    with write_directory(path, kind=DATASET_KIND, version=DATASET_VERSION) as staging:
        part_0 = staging.path / "part_0.parquet"
        if shuffle is None and output_files == 1:
            with reading(files):
                _sink(frame, part_0, row_group_size, compression)
            rows = _rows(part_0)
        else:
            rows = _write_parts(
                frame, staging.path, files, shuffle, row_group_size, output_files, compression
            )
        parts = [staging.path / f"part_{i}.parquet" for i in range(output_files)]
        schema.save(staging.path / SCHEMA_FILE)
        write_merlin_files(staging.path, parts, schema)
        staging.info.update(rows=rows, row_group_size=row_group_size, files=output_files)


_KNOWN = ("zstd", "snappy", "lz4", "uncompressed")


def _with_targets(schema: Schema, labels: Sequence[str]) -> Schema:
    for name in labels:
        if name not in schema:
            raise ColumnNotFoundError(f"labels: no column {name!r}{nearest(name, schema.names)}")
    return Schema([c.with_tags([Tags.TARGET]) if c.name in labels else c for c in schema])


def _sink(frame: pl.LazyFrame, file: Path, row_group_size: int, compression: Compression) -> None:
    frame.sink_parquet(
        file,
        compression=compression,
        row_group_size=row_group_size,
        maintain_order=True,
        engine="streaming",
    )


def _rows(file: Path) -> int:
    return int(collect(pl.scan_parquet(file, glob=False).select(pl.len())).item())


def _write_parts(
    frame: pl.LazyFrame,
    directory: Path,
    files: Sequence[Path],
    shuffle: int | None,
    row_group_size: int,
    output_files: int,
    compression: Compression,
) -> int:
    whole = directory / "rows.tmp"
    with reading(files):
        # lz4: written once and read back at once, so speed matters more than size.
        _sink(frame, whole, row_group_size, "lz4")
    rows = _rows(whole)
    source = pl.scan_parquet(whole, glob=False)
    buckets: list[Path] = []
    if shuffle is not None:
        buckets = [
            _bucket(directory, i, part, row_group_size)
            for i, part in enumerate(sort_by_key(source, rows=rows, seed=shuffle))
        ]
        source = pl.scan_parquet(buckets, glob=False)
        whole.unlink()
    for i in range(output_files):
        start, stop = rows * i // output_files, rows * (i + 1) // output_files
        part = source.slice(start, stop - start)
        _sink(part, directory / f"part_{i}.parquet", row_group_size, compression)
    for file in [whole, *buckets]:
        file.unlink(missing_ok=True)
    return rows


def _bucket(directory: Path, index: int, frame: pl.DataFrame, row_group_size: int) -> Path:
    file = directory / f"bucket_{index}.tmp"
    frame.write_parquet(file, compression="lz4", row_group_size=row_group_size)
    return file
