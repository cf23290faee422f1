"""Normalize: zero mean, unit variance."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.exact_moments import float_moments, merged_float_moments, read_moments
from emberline.etl.exact_sum import as_fraction, split, split_squares, summed
from emberline.etl.learned_numbers import LearnedNumbers, Numbers
from emberline.etl.leaves import (
    divided,
    float_dtype,
    known_count,
    leaf_dtypes,
    leaf_frames,
    map_leaves,
    require_numbers,
)
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["Normalize"]

#: Ends the names of the statistics of floats.
FLOATS = " floats"
_SUMS = ("sum", "squares")


@register_operator
class Normalize(LearnedNumbers):
    """Give (x - mean) / std of numbers or of the leaves of lists, tagged continuous.

    The standard deviation is that of a sample (ddof 1); where it is 0 or unknown (one value) the
    result is x - mean. Null and NaN are not counted and become null. The sums do not
    depend on the order of the rows (see `exact_moments`), so neither does the result on threads or
    on how the data is cut in parts.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [1.0, 2.0, None, 3.0]})
    >>> Workflow(["y"] >> ops.Normalize()).fit_transform(frame)["y"].to_list()
    [-1.0, 0.0, None, 1.0]
    """

    numbers = ("mean", "std")

    def __init__(self, out_dtype: Any = None) -> None:
        """Remember the dtype of the result: "float64" (the default) or "float32".

        Raises:
            DataError: `out_dtype` is no float dtype.
        """
        self.out_dtype = float_dtype(out_dtype, where="Normalize")

    @property
    def means(self) -> dict[str, float | None]:
        """The mean of every column."""
        return self.number("mean")

    @property
    def stds(self) -> dict[str, float | None]:
        """The standard deviation of every column."""
        return self.number("std")

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers."""
        require_numbers(selection.schema, where="Normalize")

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Count and sum values and their squares."""
        plans = {}
        for name, leaves in leaf_frames(frame, selection.schema).items():
            dtypes = leaves.collect_schema()
            floats = [c for c, dtype in dtypes.items() if dtype.is_float()]
            if floats:
                plans[f"{name}{FLOATS}"] = float_moments(leaves.select(floats))
            integers = [c for c in dtypes if c not in floats]
            if integers:
                parts = split(leaves.select(integers), {c: f"{c}.sum" for c in integers})
                parts = split_squares(parts, {c: f"{c}.squares" for c in integers})
                plans[name] = parts.select(
                    *(known_count(c, dtypes[c]).alias(f"{c}.count") for c in integers),
                    *summed(parts, [f"{c}.{s}" for c in integers for s in _SUMS]),
                )
        return plans

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add up."""
        if name.endswith(FLOATS):
            return merged_float_moments(frames)
        return pl.concat(frames).sum()

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Compute mean and standard deviation of every column."""
        learned: dict[str, Numbers] = {}
        for frame in statistics.values():
            row = frame.row(0, named=True)
            for key in row:
                if key.endswith(".count"):
                    column = key.removesuffix(".count")
                    learned[column] = _moments(row, column)
        self.learned = learned

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Normalize every column."""
        dtype = parse_dtype(self.out_dtype, column="Normalize")

        def normalized(column: ColumnSchema) -> pl.Expr:
            numbers = self.learned_of(column.name)
            mean, std = numbers["mean"], numbers["std"]

            def leaf(value: pl.Expr) -> pl.Expr:
                centred = value.cast(pl.Float64).fill_nan(None) - pl.lit(mean, pl.Float64)
                return (divided(centred, std) if std else centred).cast(dtype)

            return map_leaves(column, leaf)

        return frame.with_columns(normalized(column) for column in selection.schema)

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Floats, known before the fit."""
        return leaf_dtypes(selection.schema, self.out_dtype)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column continuous."""
        return column.with_tags([Tags.CONTINUOUS])


def _moments(row: Mapping[str, Any], column: str) -> Numbers:
    if not row[f"{column}.count"]:
        return {"mean": None, "std": None}
    try:
        count, total, squares = (
            read_moments(row, column)
            if f"{column}.infinite" in row
            else (row[f"{column}.count"], *(as_fraction(row, f"{column}.{s}") for s in _SUMS))
        )
    except OverflowError as error:
        raise DataError(
            f"Normalize: column {column!r} holds infinite or too large values; clip it before: "
            "ops.Clip(min_value=..., max_value=...)"
        ) from error
    if count == 1:
        return {"mean": float(total), "std": None}
    # Rounded squares may fall a hair short.
    variance = max((squares - total * total / count) / (count - 1), Fraction(0))
    return {"mean": float(total / count), "std": math.sqrt(variance)}
