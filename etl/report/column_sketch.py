"""What one pass over a column notes."""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from emberline.etl.report.number_sample import NumberSample
from emberline.etl.report.value_counts import ValueCounts

__all__ = ["ColumnSketch", "Kind", "kind_of", "leaves_of", "numbers_of"]

Kind = Literal["number", "time", "value", "other"]


def kind_of(dtype: pl.DataType) -> tuple[Kind, bool]:
    """Say what a column holds, and whether in lists; "other" is what no picture is drawn of."""
    listed = isinstance(dtype, (pl.List, pl.Array))
    leaf = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else dtype
    assert isinstance(leaf, pl.DataType), "dtypes of data are instances"
    if leaf.is_numeric():
        return "number", listed
    if leaf.is_temporal():
        return "time", listed
    texts = (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Boolean)
    return ("value" if isinstance(leaf, texts) else "other"), listed


def leaves_of(column: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """Give the values of a column, NaN as null, and the lengths of its lists that are not null."""
    lengths = None
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        column = column.drop_nulls()
        lengths = column.list.len()
        # Without empty lists: what they give depends on the version of Polars. The arguments only
        # silence a warning of Polars 1.
        column = column.filter(lengths > 0).explode(empty_as_null=True, keep_nulls=True)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    elif isinstance(column.dtype, (pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    return column, lengths


def numbers_of(leaves: pl.Series) -> npt.NDArray[np.float64]:
    """Give numbers and times without nulls as float64; times as their count of units."""
    known = leaves.drop_nulls()
    if known.dtype.is_temporal():
        known = known.to_physical()
    return known.cast(pl.Float64).to_numpy()


class ColumnSketch:
    """Counts, moments and samples of one column, in memory that does not grow with the rows.

    Attributes:
        rows: seen.
        missing: rows that are null or NaN.
        missing_leaves: nulls and NaN inside lists.
        leaves: values, nulls left out; of a list column those inside the lists.
        low: the smallest finite number; NaN without one.
        high: the largest.
        whole: whether all numbers are integers.
        values: frequent ones.
        sample: of the numbers.
        lengths: counts of list lengths, up to `LENGTHS`; the last also of longer ones.
    """

    LENGTHS = 1_000

    def __init__(self, dtype: pl.DataType) -> None:
        self.dtype = dtype
        self.kind, self.listed = kind_of(dtype)
        self.rows = self.missing = self.missing_leaves = self.leaves = 0
        self.low = self.high = math.nan
        self.whole = True
        self.values = ValueCounts()
        self.sample = NumberSample()
        self.lengths = np.zeros(self.LENGTHS + 1, dtype=np.int64)
        self._finite = 0
        self._mean = self._squares = 0.0

    def update(self, column: pl.Series) -> None:
        """See the next rows."""
        self.rows += len(column)
        if self.kind == "other":
            self.missing += column.null_count()
            return
        leaves, lengths = leaves_of(column)
        if lengths is None:
            self.missing += leaves.null_count()
        else:
            self.missing += column.null_count()
            self.missing_leaves += leaves.null_count()
            capped = np.minimum(lengths.to_numpy(), self.LENGTHS).astype(np.int64)
            self.lengths += np.bincount(capped, minlength=self.LENGTHS + 1)
        known = leaves.drop_nulls()
        self.leaves += len(known)
        self.values.update(known)
        if self.kind in ("number", "time"):
            self._measure(numbers_of(known))

    def _measure(self, numbers: npt.NDArray[np.float64]) -> None:
        self.sample.update(numbers)
        finite = numbers[np.isfinite(numbers)]
        if not finite.size:
            return
        self.low = float(np.fmin(self.low, finite.min()))
        self.high = float(np.fmax(self.high, finite.max()))
        self.whole = self.whole and bool(np.all(finite == np.floor(finite)))
        # Chan, Golub and LeVeque 1979: moments of parts, merged.
        count, mean = finite.size, float(finite.mean())
        total = self._finite + count
        apart = mean - self._mean
        self._squares += float(((finite - mean) ** 2).sum())
        self._squares += apart * apart * self._finite * count / total
        self._mean += apart * count / total
        self._finite = total

    @property
    def mean(self) -> float:
        """Of the finite numbers; NaN without one."""
        return self._mean if self._finite else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation (ddof 1); NaN below two numbers."""
        return math.sqrt(self._squares / (self._finite - 1)) if self._finite > 1 else math.nan

    @property
    def mean_length(self) -> float:
        """Leaves, nulls among them, per list that is not null."""
        lists = self.rows - self.missing
        return (self.leaves + self.missing_leaves) / lists if lists else math.nan
