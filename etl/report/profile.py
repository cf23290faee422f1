"""What the columns of a data set hold, and how a second one differs, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from emberline.errors import DataError
from emberline.etl.dataset import Dataset
from emberline.etl.dtypes import column_of
from emberline.etl.report.batches import each_batch
from emberline.etl.report.bins import Bins, drift_bins, picture_bins
from emberline.etl.report.column_sketch import ColumnSketch, leaves_of, numbers_of
from emberline.etl.report.drift import Drift, measure
from emberline.etl.report.encoding_profile import EncodingProfile, encodings
from emberline.etl.workflow import Workflow

__all__ = ["ColumnProfile", "DataProfile", "PartProfile", "profile"]

#: Values whose counts are compared; the rest is one bin more.
TOP = 50
#: Numbers with no more distinct values are compared value by value.
FEW = 50


@dataclass(kw_only=True)
class PartProfile:
    """One column in training or in validation.

    Attributes:
        sketch: from the first pass.
        histogram: counts of the picture's bins, int64; empty without bins.
        drift_counts: counts of the bins that drift is measured in, missing ones last.
        top: the counts of `ColumnProfile.top`, exact.
        unseen: leaves whose value training has not; None where that is not known.
    """

    sketch: ColumnSketch
    histogram: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    drift_counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    top: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    unseen: int | None = None


@dataclass(kw_only=True)
class ColumnProfile:
    """One column.

    Attributes:
        name: of the column.
        dtype: as schemas spell it, lists in brackets.
        bins: of the picture; None for a column that has no numbers.
        top: training's most frequent values, at most `TOP`.
        train: training.
        valid: validation, or None.
        drift: between the two, over the leaves and the missing ones; None without validation.
    """

    name: str
    dtype: str
    bins: Bins | None
    top: pl.Series
    train: PartProfile
    valid: PartProfile | None = None
    drift: Drift | None = None


@dataclass(frozen=True, kw_only=True)
class DataProfile:
    """A data set.

    Attributes:
        columns: in the order of training.
        train_rows: of training.
        valid_rows: of validation, or None.
        encodings: of the workflow's categorical columns.
        only_train: columns that validation lacks.
    """

    columns: tuple[ColumnProfile, ...]
    train_rows: int
    valid_rows: int | None
    encodings: tuple[EncodingProfile, ...]
    only_train: tuple[str, ...]


def profile(
    train: Any, valid: Any | None = None, *, workflow: Workflow | None = None
) -> DataProfile:
    """Read the data twice (and, with a workflow, encode it once), batch by batch.

    Memory holds one batch of at most 131,072 rows and, for every column, 65,536 counters and as many
    sampled numbers, whatever the number of rows.

    Args:
        train: a `Dataset`, or anything a `Dataset` is made of.
        valid: likewise; its columns are those of training, those that are missing are named.
        workflow: fitted, reads the columns of `train` and `valid`.

    Raises:
        DataError: no rows, a damaged file, a column of another kind in validation.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"item": ["b", "a", "b", None]})
    >>> column = profile(frame).columns[0]
    >>> column.train.sketch.values.distinct, column.top.to_list(), column.train.top.tolist()
    (2, ['b', 'a'], [2, 1])
    """
    train = train if isinstance(train, Dataset) else Dataset(train)
    if valid is not None and not isinstance(valid, Dataset):
        valid = Dataset(valid)
    first = _sketches(train, train.schema.names)
    only_train: tuple[str, ...] = ()
    second: dict[str, ColumnSketch] = {}
    if valid is not None:
        shared = [name for name in train.schema.names if name in valid.schema]
        only_train = tuple(name for name in train.schema.names if name not in valid.schema)
        second = _sketches(valid, shared)
    columns = [_column(name, sketch, second.get(name)) for name, sketch in first.items()]
    _count(train, [(c, c.train) for c in columns])
    if valid is not None:
        _count(valid, [(c, c.valid) for c in columns if c.valid is not None])
    for column in columns:
        if column.valid is not None:
            column.drift = measure(
                column.train.drift_counts.tolist(), column.valid.drift_counts.tolist()
            )
    return DataProfile(
        columns=tuple(columns),
        train_rows=_rows(first),
        valid_rows=None if valid is None else _rows(second),
        encodings=() if workflow is None else encodings(workflow, train, valid),
        only_train=only_train,
    )


def _rows(sketches: dict[str, ColumnSketch]) -> int:
    return max((sketch.rows for sketch in sketches.values()), default=0)


def _sketches(data: Dataset, names: Sequence[str]) -> dict[str, ColumnSketch]:
    plan = data.to_lazy().select(names)
    sketches = {name: ColumnSketch(dtype) for name, dtype in plan.collect_schema().items()}

    def see(batch: pl.DataFrame) -> None:
        for name, sketch in sketches.items():
            sketch.update(batch[name])

    each_batch(plan, see, data.files)
    if not _rows(sketches):
        where = f" in {data.files[0]}" if data.files else ""
        raise DataError(f"no rows{where}; a report needs at least one")
    return sketches


def _column(name: str, train: ColumnSketch, valid: ColumnSketch | None) -> ColumnProfile:
    if valid is not None and (train.kind, train.listed) != (valid.kind, valid.listed):
        raise DataError(
            f"column {name!r} has dtype {train.dtype} in training, {valid.dtype} in validation; "
            "cast one of them"
        )
    bins = None
    if train.kind in ("number", "time"):
        bins = picture_bins(train.sample.values, train.low, train.high, whole=train.whole)
    schema = column_of(name, train.dtype) if train.kind != "other" else None
    dtype = str(train.dtype) if schema is None else schema.dtype
    return ColumnProfile(
        name=name,
        dtype=f"list[{dtype}]" if train.listed else dtype,
        bins=bins,
        top=train.values.top(TOP)["value"],
        train=PartProfile(sketch=train),
        valid=None if valid is None else PartProfile(sketch=valid),
    )


def _count(data: Dataset, parts: Sequence[tuple[ColumnProfile, PartProfile]]) -> None:
    """Count over the bins and values that the first pass chose."""
    parts = [(c, p) for c, p in parts if p.sketch.kind != "other"]
    if not parts:
        return
    grids: list[Bins | None] = []
    for column, part in parts:
        values = column.train.sketch.values
        by_value = column.bins is None or (values.exact and values.distinct <= FEW)
        grid = None if by_value else drift_bins(column.train.sketch.sample.values)
        grids.append(grid)
        size = 0 if column.bins is None else column.bins.count
        part.histogram = np.zeros(size, np.int64)
        part.top = np.zeros(len(column.top), np.int64)
        if grid is not None:
            part.drift_counts = np.zeros(grid.count, np.int64)
        if values.values is not None:
            part.unseen = 0
    plan = data.to_lazy().select(column.name for column, _ in parts)

    def see(batch: pl.DataFrame) -> None:
        for (column, part), grid in zip(parts, grids, strict=True):
            leaves = leaves_of(batch[column.name])[0].drop_nulls()
            if column.bins is not None:
                numbers = numbers_of(leaves)
                part.histogram += column.bins.counts(numbers)
                if grid is not None:
                    part.drift_counts += grid.counts(numbers)
            part.top += _counts_of(column.top, leaves)
            known = column.train.sketch.values.values
            if part.unseen is not None and known is not None:
                part.unseen += len(leaves) - int(_counts_of(known, leaves).sum())

    each_batch(plan, see, data.files)
    for (_, part), grid in zip(parts, grids, strict=True):
        sketch = part.sketch
        missing = sketch.missing_leaves if sketch.listed else sketch.missing
        if grid is None:
            rest = sketch.leaves - int(part.top.sum())
            part.drift_counts = np.array([*part.top.tolist(), rest], np.int64)
        part.drift_counts = np.append(part.drift_counts, missing)


def _counts_of(values: pl.Series, leaves: pl.Series) -> npt.NDArray[np.int64]:
    """Count how often each of some distinct values occurs; int64 [values]."""
    if values.is_empty() or leaves.is_empty():
        return np.zeros(len(values), np.int64)
    found = leaves.alias("value").cast(values.dtype, strict=False).value_counts(name="count")
    wanted = pl.DataFrame({"value": values})
    joined = wanted.join(found, on="value", how="left", maintain_order="left")
    return joined["count"].fill_null(0).cast(pl.Int64).to_numpy().copy()
