"""Data to read, wherever it is."""

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from emberline.artifacts import MANIFEST
from emberline.errors import DataError, nearest
from emberline.etl.column_dtypes import convert, dtype_name
from emberline.etl.dtypes import column_of
from emberline.etl.errors import ColumnNotFoundError, UnsupportedError
from emberline.etl.execution import collect, reading
from emberline.etl.frames import from_frame, is_dask_frame
from emberline.etl.memory_size import parse_size, rows_within
from emberline.etl.partitioned_plan import PART_ROWS, PartitionedPlan
from emberline.etl.partitions import keyed, merge_frames
from emberline.etl.remote_files import RemoteDirectory, is_remote
from emberline.etl.schema import Schema
from emberline.etl.shuffle import shuffle_seed
from emberline.etl.source import Source, find_source
from emberline.etl.write_options import (
    ROW_GROUP_SIZE,
    Compression,
    WriteOptions,
    file_names,
    tagged,
)
from emberline.etl.writer import FILE_INDEX, write_dataset

__all__ = ["Dataset"]


class Dataset(PartitionedPlan):
    """Rows with a schema: files or a frame. Nothing is read before it is needed.

    Partitions are ranges of rows: what `to_iter` gives one by one and, where their number was
    asked for, the files that `to_parquet` writes. They change no result.

    >>> import polars as pl
    >>> data = Dataset(pl.DataFrame({"user": [1, 2, 2]}))
    >>> data.num_rows, data.schema
    (3, Schema(user: int64))
    """

    def __init__(
        self,
        path_or_source: Any,
        engine: str | None = None,
        npartitions: int | None = None,
        part_size: int | str | None = None,
        part_mem_fraction: float | None = None,
        storage_options: Mapping[str, Any] | None = None,
        dtypes: Mapping[str, Any] | None = None,
        client: Any = "auto",
        cpu: bool | None = None,
        base_dataset: "Dataset | None" = None,
        schema: Schema | None = None,
        **kwargs: Any,
    ) -> None:
        """Open the source and check that its files belong together.

        Args:
            path_or_source: a directory that `to_parquet` wrote, another directory of parquet, CSV
                or Arrow IPC files, a file, a glob pattern, an address such as `s3://bucket/data`,
                or a list of these; or a frame (Polars DataFrame or LazyFrame, pandas DataFrame,
                pyarrow Table; a dask DataFrame is computed, its number of partitions kept).
            engine: "parquet", "csv" or "ipc"; None goes by the suffix.
            npartitions: the number of partitions; overrides the two sizes.
            part_size: bytes in memory of a partition, or a size like "100MB".
            part_mem_fraction: the same as a share of this machine's memory.
            storage_options: passed to fsspec for an address.
            dtypes: column -> dtype that it is read as; "hex" reads hexadecimal text as int32
                (from 80000000 up negative), as NVTabular does.
            client: accepted for NVTabular's sake; all work is done in this process.
            cpu: True or None; the GPU is not chosen here.
            base_dataset: accepted for NVTabular's sake; its schema is the default one.
            schema: select these columns and take their tags and properties; by default the
                directory's `schema.json`. `.merlin/schema.json` and `schema.pbtxt` beside the
                files give tags and properties to the columns there are.
            **kwargs: `columns`, a list of columns to keep; for CSV files the arguments of pandas
                `sep`, `header`, `names`, `quotechar`, `na_values`, `skiprows`.

        Raises:
            DataError: no such file, no file in it, a file that is not what the engine reads (named),
                files with different columns (named), an argument that makes no sense.
            ColumnNotFoundError: `schema`, `dtypes` or `columns` names a column that is not there.
            UnsupportedError: what NVTabular offers and emberline does not; says what to use.
            ArtifactError: a directory of ours that is damaged, or another kind of directory.
        """
        if cpu is False:
            raise UnsupportedError("cpu=False: data sets are read by the CPU; leave cpu out")
        if client not in (None, "auto"):
            warnings.warn(
                "Dataset(client=...) has no effect: all work is done in this process",
                UserWarning,
                stacklevel=2,
            )
        super().__init__()
        self._source: Source | None = None
        self._in_memory = False
        self._derive: Callable[[bool], pl.LazyFrame] | None = None
        self._stream: Callable[[int | None], pl.LazyFrame] | None = None
        wanted = {name: dtype_name(dtype, column=name) for name, dtype in (dtypes or {}).items()}
        columns = kwargs.pop("columns", None)
        hints: Schema | None = None
        if is_dask_frame(path_or_source):
            npartitions = npartitions or int(path_or_source.npartitions)
            path_or_source = path_or_source.compute()
        found = from_frame(path_or_source)
        if found is not None:
            if kwargs:
                raise DataError(f"{', '.join(kwargs)}: an argument of csv files, got a frame")
            plan, self._kind = found
            self._in_memory = self._kind != "lazy"
        else:
            self._source = find_source(
                path_or_source, engine, storage_options=storage_options, csv=kwargs
            )
            schema = self._source.schema if schema is None else schema
            hints = self._source.hints
            self._files = self._source.paths
            plan = self._source.scan(self._csv_dtypes(wanted))
        if schema is None and base_dataset is not None:
            schema = base_dataset.schema
        self._dtypes, self._columns = wanted, columns
        self._lazy, self._schema = self._read(plan, schema, hints)
        self._set_partitions(npartitions, part_size, part_mem_fraction)

    def _csv_dtypes(self, dtypes: Mapping[str, str]) -> dict[str, str]:
        if self._source is None or self._source.engine != "csv":
            return {}
        # Hexadecimal digits may look like a number: 00000012 must not become 12.
        return {n: "string" if dtype == "hex" else dtype for n, dtype in dtypes.items()}

    def _read(
        self, plan: pl.LazyFrame, schema: Schema | None, hints: Schema | None
    ) -> tuple[pl.LazyFrame, Schema]:
        """Give the plan with the columns and dtypes asked for, and its schema."""
        with reading(self.files):
            given = plan.collect_schema()
        plan = convert(plan, given, self._dtypes)
        with reading(self.files):
            given = plan.collect_schema()
        for argument, names in (
            ("columns", self._columns or ()),
            ("the schema", schema.names if schema is not None else ()),
        ):
            for name in names:
                if name not in given:
                    raise ColumnNotFoundError(
                        f"{argument} has a column {name!r} that the data has not"
                        f"{nearest(name, given)}"
                    )
        out = Schema([column_of(name, dtype) for name, dtype in given.items()])
        if hints is not None:
            out = Schema([_hinted(column, hints) for column in out])
        if schema is not None:
            # What was converted here has the dtype it was converted to.
            changed = {n: given[n] for n in self._dtypes if n in schema}
            out = Schema(
                [
                    c.with_dtype(column_of(c.name, changed[c.name]).dtype)
                    if c.name in changed
                    else c
                    for c in schema
                ]
            )
        if self._columns is not None:
            out = out.select(self._columns)
        return plan.select(out.names), out

    @classmethod
    def _derived(
        cls,
        frame: pl.LazyFrame,
        schema: Schema,
        files: Sequence[Path] = (),
        *,
        base: "Dataset | None" = None,
        derive: Callable[[bool], pl.LazyFrame] | None = None,
        stream: Callable[[int | None], pl.LazyFrame] | None = None,
    ) -> "Dataset":
        """Give a plan over the rows of another data set as a data set.

        Args:
            frame: the plan.
            schema: its columns.
            files: what it reads, for messages.
            base: the data set it was made of; its number of partitions is kept.
            derive: gives the plan again; with True it carries `FILE_INDEX`. None for a plan whose
                rows do not follow those of the files.
            stream: gives a plan of the same rows that is read in less memory; its argument is a
                memory limit in bytes, or None.
        """
        out = cls(frame, schema=schema)
        out._files, out._stream = tuple(files), stream
        if base is not None:
            out._kind, out._files = base._kind, base._files
            out._npartitions, out._part_bytes = base._npartitions, base._part_bytes
            if derive is not None:
                out._source, out._derive = base._source, derive
        return out

    def _numbered(self) -> pl.LazyFrame:
        """Give the rows with `FILE_INDEX`, the position of the input file that they come from."""
        if self._source is None:
            raise DataError(
                "preserve_files needs input files with rows in their order; this data set is made "
                "of frames, joined or reordered"
            )
        if self._derive is not None:
            return self._derive(True).select(*self._schema.names, FILE_INDEX)
        plans = self._source.scan_each(self._csv_dtypes(self._dtypes))
        numbered = pl.concat(
            convert(plan, plan.collect_schema(), self._dtypes).select(
                *self._schema.names, pl.lit(i, dtype=pl.UInt32).alias(FILE_INDEX)
            )
            for i, plan in enumerate(plans)
        )
        return numbered

    @property
    def file_partition_map(self) -> dict[str, list[int]]:
        """Each file with the numbers of the partitions that its rows are in."""
        if self._source is None:
            return {}
        counts = [
            int(collect(plan.select(pl.len())).item())
            for plan in self._source.scan_each(self._csv_dtypes(self._dtypes))
        ]
        out: dict[str, list[int]] = {}
        ends = [sum(self.partition_lens[: i + 1]) for i in range(self.npartitions)]
        start = 0
        for file, count in zip(self._source.files, counts, strict=True):
            stop = start + count
            first = [e - n for e, n in zip(ends, self.partition_lens, strict=True)]
            out[file] = [
                i
                for i, (a, b) in enumerate(zip(first, ends, strict=True))
                if a < stop and start < b
            ]
            start = stop
        return out

    @property
    def parquet_files(self) -> tuple[Path, ...]:
        """The local parquet files that hold just these rows, in order, with all columns of the schema.

        Empty when there are none: frames, other formats and places, converted or derived rows.
        """
        source = self._source
        as_stored = source is not None and source.engine == "parquet" and not source.partitioned
        return source.paths if source and as_stored and not (self._derive or self._dtypes) else ()

    @property
    def sliceable(self) -> bool:
        """Whether rows can be reached without reading those before them."""
        files = self._source is not None and self._source.sliceable
        return self._in_memory or (files and self._derive is None)

    def parts(self, rows: int = PART_ROWS) -> list[pl.LazyFrame]:
        """Give the rows as plans of at most `rows` rows each, in order.

        Files and frames are cut without reading what lies before; other sources come as one part.
        """
        if not self.sliceable or self.num_rows <= rows:
            return [self._lazy]
        return [self._lazy.slice(start, rows) for start in range(0, self.num_rows, rows)]

    def persist(self) -> "Dataset":
        """Give the data set with its rows in memory."""
        out = Dataset._derived(self.to_polars().lazy(), self._schema, base=self)
        out._in_memory = True
        return out

    @classmethod
    def merge(cls, left: Any, right: Any, **kwargs: Any) -> "Dataset":
        """Join two data sets or frames; the left one's row order is kept.

        Args:
            left: a `Dataset` or what one is made of.
            right: likewise.
            **kwargs: `on`, or `left_on` and `right_on`; `how` ("inner" by default, "left",
                "outer"); `suffixes` for columns of both, ("_x", "_y") by default.

        Raises:
            ColumnNotFoundError, DataError: keys that are not there, other arguments.
        """
        sides = [one if isinstance(one, Dataset) else cls(one) for one in (left, right)]
        plan = merge_frames(sides[0].to_lazy(), sides[1].to_lazy(), kwargs)
        known = {c.name: c for one in reversed(sides) for c in one.schema}
        out = cls(plan)
        out._schema = Schema([_hinted(c, Schema(known.values())) for c in out.schema])
        out._kind = sides[0]._kind
        return out

    def shuffle_by_keys(
        self,
        keys: str | Sequence[str],
        hive_data: bool | None = None,
        npartitions: int | None = None,
    ) -> "Dataset":
        """Give the rows reordered, so that rows of equal keys are in one partition.

        Args:
            keys: columns; in a partition rows keep their order.
            hive_data: accepted for NVTabular's sake.
            npartitions: how many; by default as many as before. Some may be empty.
        """
        names = [keys] if isinstance(keys, str) else list(keys)
        for name in names:
            if name not in self._schema:
                raise ColumnNotFoundError(
                    f"keys: no column {name!r}{nearest(name, self._schema.names)}"
                )
        count = npartitions or self.npartitions
        plan, lens = keyed(self._lazy, names, count, files=self.files)
        out = Dataset._derived(plan, self._schema, base=self)
        out._set_partitions(count, None, None)
        out._lens = lens
        return out

    def validate_dataset(
        self,
        add_metadata_file: bool = False,
        require_metadata_file: bool = True,
        row_group_max_size: int | str | None = None,
        file_min_size: int | str | None = None,
    ) -> bool:
        """Say whether the files suit the loader; a warning names what does not.

        Args:
            add_metadata_file: refused; `to_parquet` writes a directory that has one.
            require_metadata_file: whether a directory must hold `_metadata`.
            row_group_max_size: bytes of a row group, uncompressed; 500 MB by default.
            file_min_size: bytes of a file; by default any.
        """
        from emberline.etl.file_checks import faults

        if add_metadata_file:
            raise UnsupportedError("add_metadata_file is not offered; write with to_parquet")
        found = faults(
            self._source,
            require_metadata_file=require_metadata_file,
            row_group_max=parse_size(row_group_max_size or "500MB", name="row_group_max_size"),
            file_min=parse_size(file_min_size, name="file_min_size") if file_min_size else 0,
        )
        for fault in found:
            warnings.warn(fault, UserWarning, stacklevel=2)
        return not found

    def to_cpu(self) -> None:
        """Do nothing: data sets are read by the CPU."""

    def to_gpu(self) -> None:
        """Refuse: see `to_cpu`."""
        raise UnsupportedError("to_gpu is not offered: data sets are read by the CPU")

    def to_ddf(self, columns: Sequence[str] | None = None) -> Any:
        """Refuse: the rows are no dask collection."""
        raise UnsupportedError(
            "to_ddf is not offered; use to_lazy() (a Polars LazyFrame), to_iter() or compute()"
        )

    def to_parquet(
        self,
        output_path: str | os.PathLike[str],
        shuffle: Any = None,
        preserve_files: bool = False,
        output_files: int | Sequence[str] | None = None,
        out_files_per_proc: int | Sequence[str] | None = None,
        row_group_size: int | None = None,
        num_threads: int = 0,
        dtypes: Mapping[str, Any] | None = None,
        cats: Sequence[str] | None = None,
        conts: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        suffix: str = ".parquet",
        partition_on: str | Sequence[str] | None = None,
        method: Literal["subgraph", "worker"] = "subgraph",
        write_hugectr_keyset: bool = False,
        *,
        seed: int | None = None,
        compression: Compression = "zstd",
        storage_options: Mapping[str, Any] | None = None,
        memory_limit: int | str | None = None,
    ) -> "Dataset":
        """Write the data set directory (see `writer.write_dataset`), in bounded memory.

        Args:
            output_path: the directory; one of ours is replaced, complete or not at all. An
                address (`s3://...`) is written locally first, then uploaded, its manifest last.
            shuffle: None keeps the row order; a `Shuffle` or an integer (the seed) is a full
                shuffle that depends on the seed alone.
            preserve_files: one output file for each input file, with its name and rows.
            output_files: how many files share the rows evenly, or their names; by default one,
                or one a partition where a number of partitions was asked for.
            out_files_per_proc: the same under NVTabular's other name.
            row_group_size: rows of every row group but the last of a file; 65,536 by default.
            num_threads: accepted for NVTabular's sake; the engine uses all cores.
            dtypes: column -> dtype that it is written as.
            cats: columns to tag as categorical.
            conts: columns to tag as continuous.
            labels: columns to tag as targets.
            suffix: of the file names; it must end in ".parquet".
            partition_on: columns whose values become directories (`column=value/`).
            method: accepted for NVTabular's sake.
            write_hugectr_keyset: refused.
            seed: the seed beside a `Shuffle`; 0 by default.
            compression: of the parquet pages.
            storage_options: passed to fsspec for an address.
            memory_limit: bytes, or a size like "1GB": a workflow is applied in smaller parts, and
                a shuffle sorts within it.

        Returns:
            The data set that was written.

        Raises:
            DataError: a damaged input file (named), bad arguments.
            FileExistsError: `output_path` is something else than a data set of ours.
            OSError: a full disk and the like; what was at `output_path` stays.
        """
        if write_hugectr_keyset:
            raise UnsupportedError("write_hugectr_keyset is not offered; HugeCTR is not supported")
        if method not in ("subgraph", "worker"):
            raise DataError(f"method must be 'subgraph' or 'worker', got {method!r}")
        limit = None if memory_limit is None else parse_size(memory_limit, name="memory_limit")
        frame, schema = self._lazy, self._schema
        if preserve_files:
            frame = self._numbered()
        elif self._stream is not None:
            frame = self._stream(limit).select(schema.names)
        if dtypes:
            wanted = {n: dtype_name(dtype, column=n) for n, dtype in dtypes.items()}
            frame = convert(frame, frame.collect_schema(), wanted)
            given = frame.collect_schema()
            schema = Schema([c.with_dtype(column_of(c.name, given[c.name]).dtype) for c in schema])
        schema = tagged(schema, cats=cats, conts=conts, labels=labels)
        bucket_rows = None
        if limit is not None:
            # A bucket is held three times: as it is read, sorted, and written.
            bucket_rows = rows_within(frame, limit // 4)
        options = WriteOptions(
            shuffle=shuffle_seed(shuffle, seed),
            row_group_size=ROW_GROUP_SIZE if row_group_size is None else row_group_size,
            files=file_names(
                output_files,
                out_files_per_proc,
                suffix=suffix,
                default=1 if partition_on else self._npartitions or 1,
            ),
            partition_on=tuple(
                [partition_on] if isinstance(partition_on, str) else partition_on or ()
            ),
            preserve_files=preserve_files,
            suffix=suffix,
            compression=compression,
            bucket_rows=bucket_rows,
        )
        write: dict[str, Any] = {
            "options": options,
            "files": self.files,
            "inputs": () if self._source is None else self._source.files,
        }
        target = os.fspath(output_path)
        if is_remote(target):
            remote = RemoteDirectory(target, storage_options)
            with tempfile.TemporaryDirectory(prefix="emberline-") as directory:
                local = Path(directory) / "data"
                write_dataset(frame, schema, local, **write)
                remote.upload(local, last=MANIFEST)
        else:
            write_dataset(frame, schema, target, **write)
        return Dataset(target, storage_options=storage_options)

    def __repr__(self) -> str:
        count = 0 if self._source is None else len(self._source.files)
        return f"Dataset({f'{count} files' if count else 'frame'}, {self._schema!r})"


def _hinted(column: Any, hints: Schema) -> Any:
    """Give a column of the data the tags and properties that a schema has for its name."""
    if column.name not in hints:
        return column
    hint = hints[column.name]
    properties = dict(hint.properties)
    if not column.is_list or not column.is_ragged:
        properties.pop("value_count", None)
    return column.with_tags(hint.tags).with_properties({**properties, **column.properties})
