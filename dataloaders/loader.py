"""The loader: parquet files in, an exact and resumable stream of batches out."""

import contextlib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

from numpy.typing import NDArray

from emberline.dataloaders.column import ColumnFormat
from emberline.dataloaders.errors import LoaderStateError
from emberline.dataloaders.files import PathLike, find_files
from emberline.dataloaders.plan import Plan
from emberline.dataloaders.reader import Arrays, read_batches
from emberline.dataloaders.source import ParquetSource
from emberline.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["Batch", "Loader"]

Batch = tuple[Arrays, NDArray[Any] | Arrays | None]
"""Features by name, and the target: an array, a dict of several, or None."""

_STATE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class _Position:
    epoch: int
    batch: int


class Loader:
    """Batches of parquet files, in an order that depends on the seed and the epoch only.

    Iterating once is one epoch and gives `(x, y)`: `x` maps names to arrays, `y` is the array of
    the one target, a dict of several targets, or None. A scalar column is `[n]` in its own dtype;
    a ragged column `c` is `c__values` and `c__offsets` (int64 [n + 1], from 0), a null list being
    an empty one; a list column of fixed length k is `[n, k]`; strings are object arrays of `str`.
    Arrays are 64-byte aligned, writable, compact and never reused, so they may be handed to
    TensorFlow without a copy (object arrays excepted, which it copies).

    Every epoch has every row exactly once (with `drop_last`, up to `batch_size - 1` rows of the
    epoch's end are left out). Each complete iteration advances `epoch` by one, when it delivers
    its last batch; one that was left early starts again where it started.

    Args:
        data: a dataset directory that the ETL wrote, a directory of `*.parquet`, a glob pattern
            or a list of parquet files.
        batch_size: rows of a batch; the last of an epoch may have fewer.
        shuffle: permute row groups, then rows inside windows of `window_row_groups` of them.
        seed: of the shuffle, 0 <= seed < 2**64.
        window_row_groups: more mix better; about two windows of decoded rows are in memory.
        drop_last: leave out the last batch of an epoch when it is not full.
        columns: feature columns; None is all but the targets.
        targets: names; None is the columns that the dataset's schema tags "target", `[]` is none.
        prefetch_bytes: memory for decoded rows and batches made ahead by two threads; 0 reads
            when asked, without threads. The order does not depend on it.

    Raises:
        DatasetNotFoundError: no such path, or no parquet files there.
        MissingColumnError: a column or target is not in the files.
        ParquetFileError: a file is truncated or damaged (while iterating: names the row group).
        DataError: no rows, files that differ, nulls in a column (while iterating), bad settings.
        ArtifactError: a dataset directory that is incomplete, damaged or newer.
    """

    def __init__(
        self,
        data: PathLike | Sequence[PathLike],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        window_row_groups: int = 4,
        drop_last: bool = False,
        columns: Iterable[str] | None = None,
        targets: str | Iterable[str] | None = None,
        prefetch_bytes: int = 256 * 2**20,
    ) -> None:
        """Read the footers of all files and check them; no thread starts before iteration."""
        self._prefetch_bytes = _integer("prefetch_bytes", prefetch_bytes)
        if self._prefetch_bytes < 0:
            raise DataError(f"prefetch_bytes is {prefetch_bytes}; expected 0 or more")
        batch_size = _integer("batch_size", batch_size)
        if batch_size < 1:  # before any file is read
            raise DataError(f"batch_size is {batch_size}; expected 1 or more")
        self._source = ParquetSource(find_files(data), columns=columns, targets=targets)
        self._plan = Plan(
            row_group_rows=self._source.row_group_rows,
            batch_size=batch_size,
            shuffle=bool(shuffle),
            seed=_integer("seed", seed),
            window_row_groups=_integer("window_row_groups", window_row_groups),
            drop_last=bool(drop_last),
        )
        self._target_formats = self._source.formats[len(self._source.features) :]
        # Where an iteration starts, and what comes after the last batch delivered.
        self._start = _Position(epoch=0, batch=0)
        self._next = self._start

    def __len__(self) -> int:
        """Batches of one epoch."""
        return self._plan.num_batches

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
        """The next batch's number within its epoch."""
        return self._next.batch

    @property
    def first_batch(self) -> int:
        """The batch that the next iteration starts with: 0, except after `load_state_dict`."""
        return self._start.batch

    @property
    def feature_formats(self) -> tuple[ColumnFormat, ...]:
        """Layout and dtype of the feature columns, in batch order."""
        return self._source.formats[: len(self._source.features)]

    @property
    def target_formats(self) -> tuple[ColumnFormat, ...]:
        """Layout and dtype of the target columns."""
        return self._target_formats

    def __repr__(self) -> str:
        order = "in file order"
        if self._plan.shuffle:
            windows = f"windows of {self._plan.window_row_groups} row groups"
            order = f"shuffled in {windows}, seed {self._plan.seed}"
        return (
            f"Loader({len(self._source.files)} files, {self.num_rows} rows, {len(self)} batches "
            f"of {self.batch_size}, {order}, at epoch {self.epoch}, batch {self.batch})"
        )

    def __iter__(self) -> Iterator[Batch]:
        """Run one epoch, or what is left of it after `load_state_dict`."""
        start = self._start
        self._next = start
        with contextlib.closing(
            read_batches(
                self._source,
                self._plan.epoch(start.epoch),
                first=start.batch,
                prefetch_bytes=self._prefetch_bytes,
            )
        ) as batches:
            for index, arrays in enumerate(batches, start.batch + 1):
                # Before the batch is handed over: a consumer that counts never asks for the end.
                self._next = _Position(epoch=start.epoch, batch=index)
                if index == len(self):
                    self._next = self._start = _Position(epoch=start.epoch + 1, batch=0)
                yield self._split(arrays)

    def epochs(self, count: int) -> Iterator[Batch]:
        """Run `count` epochs as one iteration; after `load_state_dict` the first is the rest."""
        for _ in range(count):
            yield from self

    def peek(self) -> Batch:
        """Read the batch that comes next, and leave the position as it is.

        After an iteration that was left early it is the batch that `state_dict` would resume
        with. Costs one window, in the calling thread.
        """
        epoch = self._plan.epoch(self._next.epoch)
        with contextlib.closing(
            read_batches(self._source, epoch, first=self._next.batch)
        ) as batches:
            return self._split(next(batches))

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration with the first batch of this epoch.

        Raises:
            DataError: a negative epoch.
        """
        number = _integer("epoch", epoch)
        self._plan.epoch(number)  # checks the range
        self._start = self._next = _Position(epoch=number, batch=0)

    def state_dict(self) -> dict[str, Any]:
        """Give the position after the last batch delivered, as JSON values.

        Batches made ahead do not count, so a checkpoint written beside a training step resumes
        with the batch after that step.
        """
        return {
            "version": _STATE_VERSION,
            "epoch": self._next.epoch,
            "batch": self._next.batch,
            **self._order(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position: the next iteration gives the rest of its epoch.

        Raises:
            LoaderStateError: not a state, or one of other files or settings (the order would
                differ); names what differs. The position is then unchanged.
        """
        order = self._order()
        expected = {"version", "epoch", "batch", *order}
        if not isinstance(state, Mapping) or set(state) != expected:
            got = sorted(map(str, state)) if isinstance(state, Mapping) else repr(state)
            raise LoaderStateError(
                f"not a loader state: it has {got}, expected the keys {sorted(expected)}"
            )
        if state["version"] != _STATE_VERSION:
            raise LoaderStateError(
                f"loader state version {state['version']!r}; this emberline reads {_STATE_VERSION}"
            )
        for name, value in order.items():
            if state[name] != value and name == "fingerprint":
                raise LoaderStateError(
                    "the files have changed since the state was saved (other names, sizes or "
                    "contents); resume on the same files or start a new epoch with set_epoch()"
                )
            if state[name] != value:
                raise LoaderStateError(
                    f"the state was saved with {name}={state[name]!r}, this loader has "
                    f"{name}={value!r}; the order of batches would differ: use the saved value"
                )
        epoch, batch = state["epoch"], state["batch"]
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in (epoch, batch)):
            raise LoaderStateError(f"epoch {epoch!r}, batch {batch!r} are not two integers")
        if epoch < 0 or not 0 <= batch < len(self):
            raise LoaderStateError(
                f"epoch {epoch}, batch {batch} does not exist: an epoch has {len(self)} batches"
            )
        self._start = self._next = _Position(epoch=epoch, batch=batch)

    def as_keras(self, *, prefetch: int = 0) -> "tf.data.Dataset":
        """Give what `fit`, `evaluate` and `predict` take; see `keras.as_tf_dataset`."""
        from emberline.dataloaders.keras import as_tf_dataset

        return as_tf_dataset(self, prefetch=prefetch)

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

    def _split(self, arrays: Arrays) -> Batch:
        targets = {
            name: arrays.pop(name) for form in self.target_formats for name in form.buffer_names()
        }
        if not targets:
            return arrays, None
        if len(targets) == 1:
            return arrays, next(iter(targets.values()))
        return arrays, targets


def _integer(name: str, value: SupportsIndex) -> int:
    if isinstance(value, bool):
        raise DataError(f"{name} is {value!r}; expected an integer")
    try:
        return operator.index(value)
    except TypeError as error:
        raise DataError(f"{name} is {value!r}; expected an integer") from error
