"""The frequent values of a column, and how many distinct ones there are, in bounded memory."""

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["ValueCounts"]

COUNTERS = 65_536
_SMALLEST = 16_384  # hashes: the estimate's standard error is 1 / sqrt(16,384) = 0.8 %


class ValueCounts:
    """Counts of at most `COUNTERS` values; exact as long as there are no more distinct ones.

    Beyond that the smaller counts are given up. A count is then too low by at most `error`, which is
    at most rows / COUNTERS; so no value is missed that is more frequent. The number of distinct values
    is then estimated from the smallest hashes (about 2 % off at most, two standard errors).

    Source: Misra and Gries 1982, merged as by Agarwal et al. 2012; Bar-Yossef et al. 2002 (k minimum
    values).
    """

    def __init__(self, counters: int = COUNTERS) -> None:
        self.error = 0
        self._counters = counters
        self._counts: pl.DataFrame | None = None
        self._hashes: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)

    def update(self, values: pl.Series) -> None:
        """Count values without nulls; the series may be empty."""
        if values.is_empty():
            return
        found = values.alias("value").value_counts(name="count")
        found = found.with_columns(pl.col("count").cast(pl.Int64))
        hashes = np.unique(found["value"].hash(0).to_numpy())
        # A union of the smallest of each part holds the smallest of all.
        self._hashes = np.union1d(self._hashes, hashes)[:_SMALLEST]
        if self._counts is not None:
            found = pl.concat([self._counts, found]).group_by("value").agg(pl.col("count").sum())
        if found.height > self._counters:
            cut = int(found["count"].sort(descending=True)[self._counters])
            self.error += cut
            found = found.filter(pl.col("count") > cut).with_columns(pl.col("count") - cut)
        self._counts = found

    @property
    def exact(self) -> bool:
        """Whether nothing was given up."""
        return self.error == 0

    @property
    def distinct(self) -> int:
        """The number of distinct values; estimated where not `exact`."""
        if self._counts is None:
            return 0
        if self.exact:
            return self._counts.height
        if self._hashes.size < _SMALLEST:
            return int(self._hashes.size)
        # The k-th smallest of n even numbers in [0, 1) is about k / n.
        return round((_SMALLEST - 1) / (float(self._hashes[-1]) / 2.0**64))

    @property
    def values(self) -> pl.Series | None:
        """The distinct values; None where they are not all known, or there are none."""
        return self._counts["value"] if self._counts is not None and self.exact else None

    def top(self, count: int) -> pl.DataFrame:
        """Give the most frequent values: `value`, `count`; equal counts by value."""
        if self._counts is None:
            return pl.DataFrame({"value": [], "count": []}, schema_overrides={"count": pl.Int64})
        return self._counts.sort("count", "value", descending=[True, False]).head(count)
