"""FillMedian: the median for missing values."""

from collections.abc import Mapping, Sequence

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.execution import collect
from emberline.etl.learned_numbers import LearnedNumbers
from emberline.etl.leaves import require_numbers
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["FillMedian"]


@register_operator
class FillMedian(LearnedNumbers):
    """Replace nulls and NaN by the column's median; the dtype stays.

    With `add_binary_cols` a bool column `<name>_filled` says where. The median is exact: the two
    middle values' mean where their number is even, rounded half to even for integers; a column
    without a value is filled with 0. It is found from counts of every distinct value, 16 bytes
    each, which the saved workflow keeps for updates.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [1.0, 9.0, None, 2.0]})
    >>> Workflow(["y"] >> ops.FillMedian()).fit_transform(frame)["y"].to_list()
    [1.0, 9.0, 2.0, 2.0]
    """

    numbers = ("median",)

    def __init__(self, add_binary_cols: bool = False) -> None:
        self.add_binary_cols = bool(add_binary_cols)

    @property
    def medians(self) -> dict[str, float | None]:
        """The median of every column."""
        return self.number("median")

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers, and names that exist."""
        require_numbers(selection.schema, where="FillMedian", lists=False)
        for name in selection.names if self.add_binary_cols else ():
            if f"{name}_filled" in selection.schema:
                raise DataError(f"FillMedian: there is a column {name}_filled already")

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the columns, then their `_filled` columns."""
        mapping: dict[str, tuple[str, ...]] = {name: (name,) for name in selection.names}
        if self.add_binary_cols:
            mapping |= {f"{name}_filled": (name,) for name in selection.names}
        return mapping

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Count every value: `value`, `count` (int64)."""
        plans = {}
        for column in selection.schema:
            values = frame.select(pl.col(column.name).alias("value"))
            if column.dtype.startswith("float"):
                values = values.with_columns(pl.col("value").fill_nan(None))
            counted = values.drop_nulls().group_by("value")
            plans[column.name] = counted.agg(pl.len().cast(pl.Int64).alias("count"))
        return plans

    def keys(self, name: str, selection: Selection) -> Sequence[str]:
        """Values meet by value."""
        return ("value",)

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add up the counts."""
        both = pl.concat(frames, how="vertical_relaxed")
        if len(frames) > 1:  # else each value is there once already
            # By the streaming engine: a fit of distinct floats takes a sixth less than by the other.
            both = collect(both.lazy().group_by("value").agg(pl.col("count").sum()))
        # Sorted: the order of groups is not defined.
        return both.sort("value")

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Find the medians."""
        self.learned = {name: {"median": _median(c)} for name, c in statistics.items()}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Fill every column."""
        out = []
        for column in selection.schema:
            given = pl.col(column.name)
            if column.dtype.startswith("float"):
                given = given.fill_nan(None)
            median = self.learned_of(column.name)["median"] or 0
            value = pl.lit(median, dtype=parse_dtype(column.dtype, column=column.name))
            out.append(pl.coalesce(given, value).alias(column.name))
            if self.add_binary_cols:
                out.append(given.is_null().alias(f"{column.name}_filled"))
        return frame.with_columns(out)

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """As the inputs."""
        dtypes = {c.name: parse_dtype(c.dtype, column=c.name) for c in selection.schema}
        flags = (name for name in self.column_mapping(selection) if name not in dtypes)
        return dtypes | {name: pl.Boolean() for name in flags}


def _median(counted: pl.DataFrame) -> float | None:
    """Give the median of values with counts, or None of nothing."""
    total = int(counted["count"].sum())
    if not total:
        return None
    ordered = counted.sort("value")
    reached = ordered["count"].cum_sum()
    # The middle value twice, or the two middle values: the first value that reaches the rank.
    low, high = (
        ordered["value"][int(reached.search_sorted(rank))]
        for rank in ((total + 1) // 2, total // 2 + 1)
    )
    if counted["value"].dtype.is_integer():
        return int(low) if low == high else round((low + high) / 2)
    return float(low) if low == high else float((low + high) / 2)
