"""Data to read, wherever it is."""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
from polars.exceptions import PolarsError

from emberline.artifacts import MANIFEST, open_directory
from emberline.errors import DataError, nearest
from emberline.etl.dtypes import column_of, parse_dtype
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.execution import collect, reading
from emberline.etl.frames import from_frame
from emberline.etl.schema import SCHEMA_FILE, Schema
from emberline.etl.writer import DATASET_KIND, DATASET_VERSION, ROW_GROUP_SIZE, write_dataset

__all__ = ["Dataset"]

Engine = Literal["parquet", "csv"]

#: Rows of a part: bounds what the streaming engine buffers in a fit. Fitting ids and genres of
#: 25 M ratings peaked at 0.3 GB with 2 M, 0.45 GB with 4 M, 1.4 GB in one part; times were alike.
PART_ROWS = 4_000_000


class Dataset:
    """Rows with a schema: parquet or CSV files, or a frame. Nothing is read before it is needed.

    >>> import polars as pl
    >>> data = Dataset(pl.DataFrame({"user": [1, 2, 2]}))
    >>> data.num_rows, data.schema
    (3, Schema(user: int64))
    """

    def __init__(
        self,
        source: Any,
        engine: Engine | None = None,
        *,
        schema: Schema | None = None,
        dtypes: Mapping[str, str] | None = None,
    ) -> None:
        """Open the source and check that its files belong together.

        Args:
            source: a directory that `to_parquet` wrote, another directory of parquet (or CSV)
                files, a file, a glob pattern, a list of files; or a frame (Polars DataFrame or
                LazyFrame, pandas DataFrame, pyarrow Table).
            engine: "parquet" or "csv"; None goes by the suffix.
            schema: select these columns and take their tags and properties; by default the
                directory's `schema.json`, or else the files' columns without tags.
            dtypes: column -> dtype for CSV, where the first 10,000 rows mislead.

        Raises:
            DataError: no such file, no file in it, a file that is not what the engine reads (named),
                files with different columns (named).
            ColumnNotFoundError: `schema` or `dtypes` names a column that does not exist.
            ArtifactError: a directory of ours that is damaged, or another kind of directory.
        """
        if engine not in (None, "parquet", "csv"):
            raise DataError(f"engine must be 'parquet', 'csv' or None, got {engine!r}")
        self._files: tuple[Path, ...] = ()
        self._num_rows: int | None = None
        self._sliceable = False
        found = from_frame(source)
        if found is not None:
            self._lazy = found[0]
        else:
            files, stored = _find(source, engine)
            self._files = tuple(files)
            schema = schema if schema is not None else stored
            kind = engine or ("csv" if files[0].suffix == ".csv" else "parquet")
            self._lazy = _scan_csv(files, dtypes or {}) if kind == "csv" else _scan_parquet(files)
            self._sliceable = kind == "parquet"
        with reading(self._files):
            given = self._lazy.collect_schema()
        found_schema = Schema([column_of(name, dtype) for name, dtype in given.items()])
        if schema is not None:
            for name in schema.names:
                if name not in given:
                    raise ColumnNotFoundError(
                        f"the schema has a column {name!r} that the data has not"
                        f"{nearest(name, given)}"
                    )
            self._lazy = self._lazy.select(schema.names)
            found_schema = schema
        self._schema = found_schema

    @classmethod
    def _derived(cls, frame: pl.LazyFrame, schema: Schema, files: Sequence[Path]) -> "Dataset":
        """Give a plan over the files of another data set as a data set."""
        out = cls(frame, schema=schema)
        out._files = tuple(files)
        return out

    @property
    def schema(self) -> Schema:
        """The columns."""
        return self._schema

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a read touches; empty for frames."""
        return self._files

    @property
    def num_rows(self) -> int:
        """The number of rows; parquet files know it, anything else is counted once."""
        if self._num_rows is None:
            counted = collect(self._lazy.select(pl.len()), files=self._files).item()
            self._num_rows = int(counted)
        return self._num_rows

    def __len__(self) -> int:
        return self.num_rows

    def to_lazy(self) -> pl.LazyFrame:
        """Give the rows as a lazy Polars plan."""
        return self._lazy

    def parts(self, rows: int = PART_ROWS) -> list[pl.LazyFrame]:
        """Give the rows as plans of at most `rows` rows each, in order.

        Parquet files are cut without reading what lies before; other sources come as one part.
        """
        if not self._sliceable or self.num_rows <= rows:
            return [self._lazy]
        return [self._lazy.slice(start, rows) for start in range(0, self.num_rows, rows)]

    def to_polars(self) -> pl.DataFrame:
        """Read all rows into memory.

        Raises:
            DataError: a damaged file, named.
        """
        return collect(self._lazy, files=self._files)

    def head(self, n: int = 5) -> pl.DataFrame:
        """Read the first `n` rows."""
        return collect(self._lazy.head(n), files=self._files)

    def to_parquet(
        self,
        output_path: str | os.PathLike[str],
        *,
        shuffle: int | None = None,
        row_group_size: int = ROW_GROUP_SIZE,
        output_files: int = 1,
        compression: Literal["zstd", "snappy", "lz4", "uncompressed"] = "zstd",
        labels: Sequence[str] = (),
    ) -> "Dataset":
        """Write the data set directory (see `writer.write_dataset`), in bounded memory.

        Args:
            output_path: the directory; one of ours is replaced, complete or not at all.
            shuffle: None keeps the row order; an integer is the seed of a full shuffle that
                depends on nothing else.
            row_group_size: rows of every row group but the last of a file.
            output_files: how many files share the rows, evenly.
            compression: of the parquet pages.
            labels: columns to tag as targets.

        Returns:
            The data set that was written.

        Raises:
            DataError: a damaged input file (named), bad arguments.
            FileExistsError: `output_path` is something else than a data set of ours.
            OSError: a full disk and the like; what was at `output_path` stays.
        """
        write_dataset(
            self._lazy,
            self._schema,
            output_path,
            files=self._files,
            shuffle=shuffle,
            row_group_size=row_group_size,
            output_files=output_files,
            compression=compression,
            labels=labels,
        )
        return Dataset(output_path)

    def __repr__(self) -> str:
        where = f"{len(self._files)} files" if self._files else "frame"
        return f"Dataset({where}, {self._schema!r})"


def _natural(file: Path) -> list[tuple[int, str]]:
    # part_10 after part_2.
    return [(int(t), "") if t.isdigit() else (-1, t) for t in re.split(r"(\d+)", str(file))]


def _find(source: object, engine: Engine | None) -> tuple[list[Path], Schema | None]:
    """Give the files that `source` means, and the schema stored beside them."""
    if isinstance(source, (list, tuple)):
        if not source:
            raise DataError("the list of files is empty")
        pairs = [_find(item, engine) for item in source]
        return [file for files, _ in pairs for file in files], pairs[0][1]
    if not isinstance(source, (str, os.PathLike)):
        raise DataError(
            f"a data set is made from a path, a list of paths, a Polars or pandas frame or a "
            f"pyarrow Table, got {type(source).__name__}"
        )
    path = Path(source)
    if path.is_dir():
        # With our schema but no manifest it is an interrupted copy, which open_directory refuses.
        if (path / MANIFEST).is_file() or (path / SCHEMA_FILE).is_file():
            manifest = open_directory(
                path, kind=DATASET_KIND, max_version=DATASET_VERSION, verify=False
            )
            parts = [path / name for name in manifest.files if name.endswith(".parquet")]
            return sorted(parts, key=_natural), Schema.load(path)
        for suffix in [engine] if engine else ["parquet", "csv"]:
            files = [f for f in path.glob(f"*.{suffix}") if f.is_file()]
            if files:
                return sorted(files, key=_natural), None
        raise DataError(f"{path} holds no {engine or 'parquet or csv'} file")
    if path.is_file():
        return [path], None
    matches = sorted((Path(name) for name in glob.glob(str(source))), key=_natural)
    if not matches:
        raise DataError(f"{path}: no such file or directory, and no file matches it as a pattern")
    return matches, None


def _scan_parquet(files: list[Path]) -> pl.LazyFrame:
    first: Mapping[str, pl.DataType] | None = None
    for file in files:
        try:
            schema = pl.read_parquet_schema(file)
        except (PolarsError, OSError) as error:
            size = file.stat().st_size
            what = "is empty" if size == 0 else "is truncated, damaged or not a parquet file"
            raise DataError(f"{file} ({size} bytes) {what} ({error})") from error
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
    return pl.scan_parquet(files, glob=False)


def _scan_csv(files: list[Path], dtypes: Mapping[str, str]) -> pl.LazyFrame:
    for file in files:
        if file.stat().st_size == 0:
            raise DataError(f"{file} is empty")
    with reading(files):
        names = pl.scan_csv(files[0], glob=False).collect_schema().names()
    for name in dtypes:
        if name not in names:
            raise ColumnNotFoundError(
                f"dtypes names a column {name!r} that {files[0]} has not{nearest(name, names)}"
            )
    overrides = {name: parse_dtype(dtype, column=name) for name, dtype in dtypes.items()}
    return pl.scan_csv(files, glob=False, schema_overrides=overrides, infer_schema_length=10_000)
