"""The loader: parquet files in, an exact and resumable stream of batches out."""

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, SupportsIndex

import pyarrow as pa

from emberline.dataloaders.arrow import batch_table
from emberline.dataloaders.column import ColumnFormat
from emberline.dataloaders.device import Device, open_device
from emberline.dataloaders.device_gather import check_formats
from emberline.dataloaders.device_reader import DeviceReader
from emberline.dataloaders.open_source import open_source
from emberline.dataloaders.plan import Plan
from emberline.dataloaders.position import Position
from emberline.dataloaders.progress import progress_bar
from emberline.dataloaders.reader import Arrays, BatchReader, available_cores
from emberline.dataloaders.share import Remainder, Share
from emberline.dataloaders.stats import LoaderStats, Meter
from emberline.dataloaders.stream import Batch, BatchStream
from emberline.dataloaders.transforms import Transforms
from emberline.errors import DataError
from emberline.etl.schema import Schema

__all__ = ["Batch", "Loader"]


class Loader(BatchStream):
    """Batches of parquet files, in an order that depends on the seed and the epoch only.

    Iterating once is one epoch and gives `(x, y)`: `x` maps names to arrays, `y` is the array of
    the one target, a dict of several targets, or None. A scalar column is `[n]` in its own dtype;
    a ragged column `c` is `c__values` and `c__offsets` (int64 [n + 1], from 0), a null list being
    an empty one; a list column of fixed length k is `[n, k]`; strings are object arrays of `str`.
    Arrays are 64-byte aligned, writable, compact and never reused, so they may be handed to
    TensorFlow without a copy (object arrays excepted, which it copies).

    Every epoch has every row exactly once (with `drop_last`, up to `batch_size - 1` rows of the
    epoch's end are left out), over all ranks together. The batches are those of one rank, whatever
    `world` is; each rank gets a run of neighbours, so that it reads its own part of the files.
    Each complete iteration advances `epoch` by one, when it delivers
    its last batch; one that was left early starts again where it started.

    Args:
        data: a dataset directory that the ETL wrote, a directory of `*.parquet`, a glob pattern
            or a list of parquet files, or an address that fsspec knows (`s3://...`, read by the
            ranges of the loaded columns); or rows in memory: a Polars or pandas frame, an Arrow
            table, or arrays by name (numbers are not copied; row groups of 65,536 rows). An
            `etl.Dataset` is read from its parquet files if it is just those, else into memory.
        batch_size: rows of a batch; the last of an epoch may have fewer.
        shuffle: permute row groups, then rows inside windows of `window_row_groups` of them.
        seed: of the shuffle, 0 <= seed < 2**64.
        window_row_groups: more mix better; about two windows of decoded rows are in memory.
        drop_last: leave out the last batch of an epoch when it is not full.
        columns: feature columns; None is all but the targets and the weights.
        targets: names; None is the columns that the dataset's schema tags "target", `[]` is none.
        weights: a column of row weights; batches are then `(x, y, w)`, which Keras understands.
        fill: what stands for a null: one value (0) for every column that can hold it, or values
            by column ({"price": 0.0}); inside lists too. Without it a null is an error.
        storage_options: what the file system of an address takes (keys, endpoints, ...).
        transforms: steps that change the features of each batch, in this order: functions from
            arrays by name to arrays by name, or fitted workflows; see `Transforms`. They run ahead,
            in the threads. `feature_formats` are those before them.
        rank: which of the ranks this one is, from 0.
        world: how many ranks train together, each with a loader of its own and equal settings.
        remainder: when the batches cannot be dealt evenly, "pad" lets some ranks deliver the last
            batch of their part twice, "drop" leaves the last `batches % world` of the epoch out,
            "uneven" gives the first ranks one batch more.
        prefetch_bytes: memory for batches made ahead by threads; 0 reads when asked, without
            threads. One window is always read, whatever its size.
        threads: how many read ahead; "auto" is one for each core. Files of numbers that Polars
            wrote are decoded by Polars on its own pool (POLARS_MAX_THREADS). The order depends
            neither on threads nor on `prefetch_bytes`.
        device: "cpu" and "auto" give NumPy arrays; "gpu" gives CuPy arrays of the same batches
            (numbers only; `tensors.to_tensors` hands them to TensorFlow). Not yet run on a GPU.
        progress: show a bar on stderr while iterating, if that is a terminal.

    Raises:
        DatasetNotFoundError: no such path, or no parquet files there.
        MissingColumnError: a column or target is not in the files.
        ParquetFileError: a file is truncated or damaged (while iterating: names the row group).
        DataError: no rows, files that differ, nulls in a column (while iterating), bad settings.
        DeviceError: device="gpu" without CuPy or a device, or with strings or dates.
        ArtifactError: a dataset directory that is incomplete, damaged or newer.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        window_row_groups: int = 4,
        drop_last: bool = False,
        columns: Iterable[str] | None = None,
        targets: str | Iterable[str] | None = None,
        weights: str | None = None,
        fill: object = None,
        storage_options: Mapping[str, Any] | None = None,
        transforms: Iterable[Any] | None = None,
        rank: int = 0,
        world: int = 1,
        remainder: Remainder = "pad",
        prefetch_bytes: int = 256 * 2**20,
        threads: int | Literal["auto"] = "auto",
        device: Device = "auto",
        progress: bool = False,
    ) -> None:
        """Read the footers of all files and check them; no thread starts before iteration."""
        self._prefetch_bytes = _integer("prefetch_bytes", prefetch_bytes)
        if self._prefetch_bytes < 0:
            raise DataError(f"prefetch_bytes is {prefetch_bytes}; expected 0 or more")
        self._threads = available_cores() if threads == "auto" else _integer("threads", threads)
        if self._threads < 1:
            raise DataError(
                f"threads is {threads}; expected 1 or more (prefetch_bytes=0 reads without threads)"
            )
        self._share = Share(
            rank=_integer("rank", rank), world=_integer("world", world), remainder=remainder
        )
        self._xp = open_device(device)
        batch_size = _integer("batch_size", batch_size)
        if batch_size < 1:  # before any file is read
            raise DataError(f"batch_size is {batch_size}; expected 1 or more")
        self._source = open_source(
            data,
            columns=columns,
            targets=targets,
            weights=weights,
            fill=fill,
            storage_options=storage_options,
        )
        if self._xp is not None:
            check_formats(self._source.formats)
        others = (*self.target_formats, *filter(None, [self.weight_format]))
        self._transforms = Transforms(
            transforms, others=[name for form in others for name in form.buffer_names()]
        )
        self._plan = Plan(
            row_group_rows=self._source.row_group_rows,
            batch_size=batch_size,
            shuffle=bool(shuffle),
            seed=_integer("seed", seed),
            window_row_groups=_integer("window_row_groups", window_row_groups),
            drop_last=bool(drop_last),
        )
        if remainder == "drop" and len(self) == 0:
            raise DataError(
                f"remainder='drop' would drop every batch: {self._plan.num_batches} batches are "
                f"fewer than {world} ranks; lower batch_size or use remainder='pad'"
            )
        # Where an iteration starts, and what comes after the last batch delivered.
        self._start = self._next = Position.start(0, self._plan.num_batches)
        self._progress = bool(progress)
        self._meter = Meter()

    def __len__(self) -> int:
        """Batches of one epoch, of this rank."""
        return self._share.count(self._plan.num_batches)

    @property
    def num_rows(self) -> int:
        """Rows in the files."""
        return self._plan.num_rows

    @property
    def batch_size(self) -> int:
        """Rows of a full batch."""
        return self._plan.batch_size

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to, from 0."""
        return self._next.epoch

    @property
    def batch(self) -> int:
        """The next batch's number within its epoch, counted so that the last is `len - 1`.

        An epoch that was begun by another number of ranks has fewer batches left than `len`.
        """
        return self._number(self._next)

    @property
    def first_batch(self) -> int:
        """The batch that the next iteration starts with: 0, except after `load_state_dict`."""
        return self._number(self._start)

    @property
    def device(self) -> str:
        """Where the arrays are: "cpu" or "gpu"."""
        return "cpu" if self._xp is None else "gpu"

    @property
    def transforms(self) -> Transforms:
        """The steps that change the features."""
        return self._transforms

    @property
    def schema(self) -> Schema:
        """The columns of features and targets; with tags and properties where the data has a schema."""
        declared = self._source.schema or Schema()
        return Schema(
            declared[form.name] if form.name in declared else form.column_schema()
            for form in (*self.feature_formats, *self.target_formats)
        )

    @property
    def feature_formats(self) -> tuple[ColumnFormat, ...]:
        """Layout and dtype of the feature columns, in batch order."""
        return self._formats(self._source.roles.features)

    @property
    def target_formats(self) -> tuple[ColumnFormat, ...]:
        """Layout and dtype of the target columns."""
        return self._formats(self._source.roles.targets)

    @property
    def weight_format(self) -> ColumnFormat | None:
        """Layout and dtype of the column of row weights, if there is one."""
        weights = self._source.roles.weights
        return None if weights is None else self._formats([weights])[0]

    def __repr__(self) -> str:
        order = "in file order"
        if self._plan.shuffle:
            windows = f"windows of {self._plan.window_row_groups} row groups"
            order = f"shuffled in {windows}, seed {self._plan.seed}"
        return (
            f"Loader({self._source}, {self.num_rows} rows, {len(self)} batches "
            f"of {self.batch_size} on the {self.device}, {order}, at epoch {self.epoch}, batch {self.batch})"
        )

    def __iter__(self) -> Iterator[Batch]:
        """Run one epoch, or what is left of it after `load_state_dict`."""
        start = self._start
        self._next = start
        if self._share.count(start.num_left) == 0:  # more ranks than batches
            self._start = self._next = Position.start(start.epoch + 1, self._plan.num_batches)
            return
        threads = self._threads if self._prefetch_bytes else 0
        with (
            self._read(start, threads=threads) as batches,
            Meter(batches, self._batch_rows(start), threads=threads) as meter,
            progress_bar(f"epoch {start.epoch}", len(self), shown=self._progress) as show,
        ):
            self._meter = meter
            for delivered, arrays in enumerate(meter.timed(batches), start.delivered + 1):
                # Before the batch is handed over: a consumer that counts never asks for the end.
                self._next = replace(start, delivered=delivered).normal(
                    self._share, self._plan.num_batches
                )
                if self._next.epoch != start.epoch:
                    self._start = self._next
                show(delivered, meter)
                yield self._split(arrays)

    def peek(self) -> Batch:
        """Read the batch that comes next, and leave the position as it is.

        After an iteration that was left early it is the batch that `state_dict` would resume
        with. Costs one window, in the calling thread.
        """
        with self._read(self._next, threads=0) as batches:
            return self._split(next(batches))

    def read_epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Read an epoch of this rank from batch `first` on, and leave the position as it is.

        Raises:
            DataError: a negative epoch, or no such batch.
        """
        if not 0 <= first < len(self):
            raise DataError(f"batch {first} does not exist: an epoch has {len(self)} batches")
        start = replace(Position.start(epoch, self._plan.num_batches), delivered=first)
        threads = self._threads if self._prefetch_bytes else 0
        return map(self._split, self._read(start, threads=threads))

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration with the first batch of this epoch.

        Raises:
            DataError: a negative epoch.
        """
        number = _integer("epoch", epoch)
        self._plan.epoch(number)  # checks the range
        self._start = self._next = Position.start(number, self._plan.num_batches)

    def state_dict(self) -> dict[str, Any]:
        """Give the position after the last batch delivered, as JSON values.

        Batches made ahead do not count, so a checkpoint written beside a training step resumes
        with the batch after that step.
        """
        return self._next.save(self._share, self._order())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position: the next iteration gives the rest of its epoch.

        Threads and prefetch may differ. So may `world` and `remainder`: all ranks then load the
        state that one of them saved when they had delivered equally many batches, and what is left
        of the epoch is dealt anew. A rank with nothing left starts the next epoch.

        Raises:
            LoaderStateError: not a state, or one of other files or settings (the order would
                differ); names what differs. The position is then unchanged.
        """
        self._start = self._next = Position.load(
            state, self._share, self._order(), self._plan.num_batches
        )

    def stats(self) -> LoaderStats:
        """Give the figures of the iteration that was begun last: rates, waiting, queue."""
        return self._meter.read()

    def as_arrow(self) -> Iterator[pa.Table]:
        """Run one epoch as Arrow tables: features, then targets, then weights.

        Numbers share their memory with the batch's arrays; see `batch_table`.
        """
        names = [name for form in self.target_formats for name in form.buffer_names()]
        for x, y, *weights in self:
            targets = y if isinstance(y, dict) else dict.fromkeys(names, y)
            columns = {**x, **targets}
            if self.weight_format is not None:
                columns[self.weight_format.name] = weights[0]
            yield batch_table(columns)

    def _batch_rows(self, position: Position) -> Iterator[int]:
        epoch = self._plan.epoch(position.epoch)
        for run in self._share.numbers(position.left, position.delivered):
            yield from map(epoch.batch_rows, run)

    def _number(self, position: Position) -> int:
        return len(self) - self._share.count(position.num_left) + position.delivered

    def _read(self, position: Position, *, threads: int) -> BatchReader | DeviceReader:
        epoch = self._plan.epoch(position.epoch)
        batches = self._share.numbers(position.left, position.delivered)
        change = self._transforms or None
        if self._xp is not None:
            return DeviceReader(
                self._xp, self._source, epoch, batches, change=change, threads=threads
            )
        return BatchReader(
            self._source,
            epoch,
            batches,
            threads=threads,
            change=change,
            budget_bytes=self._prefetch_bytes,
        )

    def _order(self) -> dict[str, Any]:
        """Everything beside the position that decides which rows a batch has."""
        plan = self._plan
        return {
            "batch_size": plan.batch_size,
            "shuffle": plan.shuffle,
            "seed": plan.seed,
            "window_row_groups": plan.window_row_groups,
            "drop_last": plan.drop_last,
            "fingerprint": self._source.fingerprint,
        }

    def _formats(self, names: Iterable[str]) -> tuple[ColumnFormat, ...]:
        chosen = set(names)
        return tuple(form for form in self._source.formats if form.name in chosen)

    def _split(self, arrays: Arrays) -> Batch:
        targets = {
            name: arrays.pop(name) for form in self.target_formats for name in form.buffer_names()
        }
        y = next(iter(targets.values())) if len(targets) == 1 else targets or None
        weights = self._source.roles.weights
        rest = (y,) if weights is None else (y, arrays.pop(weights))
        return (arrays, *rest)


def _integer(name: str, value: SupportsIndex) -> int:
    if isinstance(value, bool):
        raise DataError(f"{name} is {value!r}; expected an integer")
    try:
        return operator.index(value)
    except TypeError as error:
        raise DataError(f"{name} is {value!r}; expected an integer") from error
