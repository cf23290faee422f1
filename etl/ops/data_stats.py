"""DataStats: what the columns hold."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import polars as pl

from emberline.errors import ArtifactCorruptError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.exact_sum import as_fraction, split, split_squares, summed
from emberline.etl.keys import canonical_key
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.stat_operator import StatOperator

__all__ = ["DataStats"]

_RESULTS = ("dtype", "per_nan", "min", "max", "mean", "std", "cardinality")


@register_operator
class DataStats(StatOperator):
    """Describe the columns in `output`; the data passes through.

    `output` is column -> {"dtype", "min", "max", "mean", "per_nan"}, with "std" (ddof 1) of floats
    and "cardinality" (distinct values) of everything else. Of text, bytes and lists "min", "max"
    and "mean" are those of the lengths (bytes of UTF-8; of lists the cardinality is that of the
    leaves); of times and dates of their numbers. "per_nan" is the share of null and NaN rows, in
    percent. A number is None where there is nothing to compute it from.

    The cardinality is exact and takes memory for every distinct value.

    >>> from emberline.etl import Workflow, ops
    >>> stats = ops.DataStats()
    >>> workflow = Workflow(["y"] >> stats).fit(pl.DataFrame({"y": [1.0, 2.0, None, 3.0]}))
    >>> stats.output["y"]["mean"], stats.output["y"]["per_nan"]
    (2.0, 25.0)
    """

    keeps_groups = True

    def __init__(self) -> None:
        #: One object for all copies: the user's own operator shows what a workflow learned.
        self.output: dict[str, dict[str, Any]] = {}
        self._fitted = False

    @property
    def fitted(self) -> bool:
        """Whether `output` is filled."""
        return self._fitted

    def unfitted(self) -> Self:
        """Give a copy that shares `output`."""
        out = copy.copy(self)
        out._fitted, out._statistics = False, None
        return out

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Sum, count and compare; list distinct values."""
        plans: dict[str, pl.LazyFrame] = {}
        for column in selection.schema:
            numbers = frame.select(_measure(column).alias("x"))
            parts = split_squares(split(numbers, {"x": "sum"}), {"x": "squares"})
            value = pl.col("x")
            plans[f"numbers {column.name}"] = parts.select(
                pl.len().cast(pl.Int64).alias("rows"),
                value.count().cast(pl.Int64).alias("count"),
                value.min().alias("min"),
                value.max().alias("max"),
                *summed(parts, ["sum", "squares"]),
            )
            if not column.dtype.startswith("float") or column.is_list:
                plans[f"values {column.name}"] = _leaves(frame, column).unique()
        return plans

    def keys(self, name: str, selection: Selection) -> Sequence[str]:
        """Values meet by value."""
        return ("value",) if name.startswith("values ") else ()

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add up; join the distinct values."""
        both = pl.concat(frames, how="vertical_relaxed")
        if name.startswith("values "):
            return both.unique().sort("value")
        return both.select(
            pl.col(c).min() if c == "min" else pl.col(c).max() if c == "max" else pl.col(c).sum()
            for c in both.columns
        )

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Fill `output`."""
        self.output.clear()
        for column in selection.schema:
            row = statistics[f"numbers {column.name}"].row(0, named=True)
            out = self.output[column.name] = {"dtype": column.dtype, **_described(row)}
            values = statistics.get(f"values {column.name}")
            if values is not None:
                del out["std"]
                out["cardinality"] = values.height
        self._fitted = True

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Leave the data as it is."""
        return frame

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the results."""
        return {"output": self.output}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator with its results."""
        settings = dict(arguments)
        output = settings.pop("output", None)
        if not isinstance(output, dict) or not all(
            isinstance(of, dict) and set(of) <= set(_RESULTS) for of in output.values()
        ):
            raise ArtifactCorruptError("DataStats: 'output' must map columns to their results")
        operator = super().restore(settings, artifacts)
        operator.output, operator._fitted = output, True
        return operator


def _measure(column: ColumnSchema) -> pl.Expr:
    """Give the number that is described of every row: the value or its length."""
    value = pl.col(column.name)
    if column.is_list:
        leaf = parse_dtype(column.dtype, column=column.name)
        return value.cast(pl.List(leaf)).list.len().cast(pl.Int64)
    if column.dtype == "string":
        return value.str.len_bytes().cast(pl.Int64)
    if column.dtype == "bytes":
        return value.bin.size().cast(pl.Int64)
    if column.dtype.startswith("float"):
        return value.fill_nan(None)
    if column.dtype.startswith("decimal"):
        return value.cast(pl.Float64)
    return value.to_physical().cast(pl.Int64 if column.dtype != "uint64" else pl.UInt64)


def _leaves(frame: pl.LazyFrame, column: ColumnSchema) -> pl.LazyFrame:
    """Give the values to be told apart, without null."""
    leaf = parse_dtype(column.dtype, column=column.name)
    values = frame.select(pl.col(column.name).alias("value"))
    if column.is_list:
        values = values.select(pl.col("value").cast(pl.List(leaf)))
        values = values.explode("value", empty_as_null=True, keep_nulls=True)
    return values.select(canonical_key(pl.col("value"), leaf).alias("value")).drop_nulls()


def _described(row: Mapping[str, Any]) -> dict[str, Any]:
    count, rows = row["count"], row["rows"]
    out = {"min": row["min"], "max": row["max"], "mean": None, "std": None}
    try:
        total, squares = as_fraction(row, "sum"), as_fraction(row, "squares")
    except (OverflowError, ValueError):
        count = 0  # an infinite value: neither mean nor deviation
    if count:
        out["mean"] = float(total / count)
    if count > 1:
        out["std"] = math.sqrt(max((squares - total * total / count) / (count - 1), 0))
    out["per_nan"] = 100 * (1 - row["count"] / rows) if rows else 0.0
    return out
