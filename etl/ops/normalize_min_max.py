"""NormalizeMinMax: values from 0 to 1."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.learned_numbers import LearnedNumbers
from emberline.etl.leaves import divided, float_dtype, leaf_dtypes, map_leaves, require_numbers
from emberline.etl.min_max import learned_min_max, merged_min_max, min_max
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["NormalizeMinMax"]


@register_operator
class NormalizeMinMax(LearnedNumbers):
    """Give (x - min) / (max - min) of numbers or of the leaves of lists, tagged continuous.

    A constant column becomes 0.5. Null and NaN become null. Values beyond what was seen at the fit
    fall below 0 or above 1.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [1, 3, None, 5]})
    >>> Workflow(["y"] >> ops.NormalizeMinMax()).fit_transform(frame)["y"].to_list()
    [0.0, 0.5, None, 1.0]
    """

    numbers = ("min", "max")

    def __init__(self, out_dtype: Any = None) -> None:
        """Remember the dtype of the result: "float64" (the default) or "float32".

        Raises:
            DataError: `out_dtype` is no float dtype.
        """
        self.out_dtype = float_dtype(out_dtype, where="NormalizeMinMax")

    @property
    def mins(self) -> dict[str, float | None]:
        """The smallest value of every column."""
        return self.number("min")

    @property
    def maxs(self) -> dict[str, float | None]:
        """The largest value of every column."""
        return self.number("max")

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers."""
        require_numbers(selection.schema, where="NormalizeMinMax")

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Find the smallest and the largest value."""
        return min_max(frame, selection.schema)

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Find the smallest and the largest of several parts."""
        return merged_min_max(frames)

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Keep them."""
        learned = learned_min_max(statistics)
        for column, numbers in learned.items():
            if any(math.isinf(number) for number in numbers.values() if number is not None):
                raise DataError(
                    f"NormalizeMinMax: column {column!r} holds infinite values; clip it before: "
                    "ops.Clip(min_value=..., max_value=...)"
                )
        self.learned = learned

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Scale every column."""
        dtype = parse_dtype(self.out_dtype, column="NormalizeMinMax")

        def scaled(column: ColumnSchema) -> pl.Expr:
            numbers = self.learned_of(column.name)
            low = None if numbers["min"] is None else float(numbers["min"])
            high = None if numbers["max"] is None else float(numbers["max"])

            def leaf(value: pl.Expr) -> pl.Expr:
                value = value.cast(pl.Float64).fill_nan(None)
                if low is None or high is None:
                    return pl.when(value.is_null()).then(pl.lit(None, dtype))
                if low == high:
                    return pl.when(value.is_not_null()).then(pl.lit(0.5, dtype))
                return divided(value - low, high - low).cast(dtype)

            return map_leaves(column, leaf)

        return frame.with_columns(scaled(column) for column in selection.schema)

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Floats, known before the fit."""
        return leaf_dtypes(selection.schema, self.out_dtype)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column continuous."""
        return column.with_tags([Tags.CONTINUOUS])
