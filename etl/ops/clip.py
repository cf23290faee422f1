"""Clip: bounds for numbers."""

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import integer_range, is_number, parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["Clip"]


@register_operator
class Clip(Operator):
    """Raise smaller values to `min_value`, lower larger ones to `max_value`; NaN and null stay.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [-5, 3, None, 70]})
    >>> Workflow(["y"] >> ops.Clip(min_value=0, max_value=50)).fit_transform(frame)["y"].to_list()
    [0, 3, None, 50]
    """

    elementwise = True

    def __init__(self, min_value: float | None = None, max_value: float | None = None) -> None:
        """Remember the bounds.

        Raises:
            DataError: no bound, or the smaller one above the larger.
        """
        if min_value is None and max_value is None:
            raise DataError("Clip needs min_value, max_value or both")
        if min_value is not None and max_value is not None and min_value > max_value:
            raise DataError(f"Clip: min_value {min_value} is above max_value {max_value}")
        self.min_value, self.max_value = min_value, max_value

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers, and bounds that an integer column cannot hold."""
        for column in selection.schema:
            if not is_number(column):
                raise ColumnTypeError(
                    f"Clip: column {column.name!r} has dtype {column.dtype}"
                    f"{' (list)' if column.is_list else ''}; it must be a number"
                )
            if "int" in column.dtype:
                low, high = integer_range(column.dtype)
                for bound in (self.min_value, self.max_value):
                    if bound is not None and not float(bound).is_integer():
                        raise ColumnTypeError(
                            f"Clip: the bound {bound} of integer column {column.name!r} is not "
                            'whole; choose a whole one, or cast first: ops.Cast("float64")'
                        )
                if self._misses(low, high):
                    raise ColumnTypeError(
                        f"Clip: column {column.name!r} has dtype {column.dtype}, which holds no "
                        f"value within the bounds; cast it before"
                    )

    def _misses(self, low: int, high: int) -> bool:
        above = self.min_value is not None and self.min_value > high
        return above or (self.max_value is not None and self.max_value < low)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Clip every column, keeping its dtype."""
        out = []
        for column in selection.schema:
            low, high = self.min_value, self.max_value
            if "int" in column.dtype:
                # Bounds beyond the dtype's range bind nothing, and no literal could hold them.
                least, most = integer_range(column.dtype)
                low = None if low is None else max(int(low), least)
                high = None if high is None else min(int(high), most)
            dtype = parse_dtype(column.dtype, column=column.name)
            out.append(
                pl.col(column.name).clip(
                    None if low is None else pl.lit(low, dtype=dtype),
                    None if high is None else pl.lit(high, dtype=dtype),
                )
            )
        return frame.with_columns(out)
