"""ReduceDtypeSize: the narrowest dtypes that hold the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from emberline.etl.dtypes import integer_range, parse_dtype
from emberline.etl.learned_numbers import LearnedNumbers
from emberline.etl.leaves import float_dtype, leaf_dtypes, map_leaves, require_numbers
from emberline.etl.min_max import learned_min_max, merged_min_max, min_max
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection

__all__ = ["ReduceDtypeSize"]

_SIGNED = ("int8", "int16", "int32", "int64")


@register_operator
class ReduceDtypeSize(LearnedNumbers):
    """Cast integers to the narrowest signed dtype that holds what was seen, floats to float32.

    Of numbers or of the leaves of lists. A later value that does not fit is an error when the data
    is read. Before the fit the schema shows the dtypes as they are.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [1, 200], "z": [0.5, 1.0]})
    >>> Workflow(["y", "z"] >> ops.ReduceDtypeSize()).fit_transform(frame).dtypes
    [Int16, Float32]
    """

    numbers = ("min", "max")

    def __init__(self, float_dtype: Any = "float32") -> None:
        """Remember the dtype of floats: "float32" or "float64".

        Raises:
            DataError: `float_dtype` is no float dtype.
        """
        self.float_dtype = _checked(float_dtype)

    @property
    def ranges(self) -> dict[str, tuple[float | None, float | None]]:
        """The smallest and the largest value of every integer column."""
        smallest, largest = self.number("min"), self.number("max")
        return {column: (smallest[column], largest[column]) for column in smallest}

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers."""
        require_numbers(selection.schema, where="ReduceDtypeSize")

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Find the smallest and the largest value."""
        return min_max(frame, selection.schema)

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Find the smallest and the largest of several parts."""
        return merged_min_max(frames)

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Keep those of integers; a float's dtype does not depend on its values."""
        nothing = {"min": None, "max": None}
        self.learned = {
            name: nothing if selection.schema[name].dtype.startswith("float") else numbers
            for name, numbers in learned_min_max(statistics).items()
        }

    def _dtype(self, column: ColumnSchema) -> str:
        if column.dtype.startswith("float"):
            return self.float_dtype
        if not self.fitted:
            return column.dtype
        numbers = self.learned_of(column.name)
        low, high = numbers["min"] or 0, numbers["max"] or 0
        for name in _SIGNED:
            least, most = integer_range(name)
            if least <= low and high <= most:
                return name
        return column.dtype  # beyond int64: uint64

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Cast every column."""

        def cast(column: ColumnSchema) -> pl.Expr:
            dtype = parse_dtype(self._dtype(column), column=column.name)
            return map_leaves(column, lambda leaf: leaf.cast(dtype))

        return frame.with_columns(cast(column) for column in selection.schema)

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """The narrow dtypes, once they are known."""
        out: dict[str, pl.DataType] = {}
        for column in selection.schema:
            out |= leaf_dtypes([column], self._dtype(column))
        return out


def _checked(dtype: Any) -> str:
    return float_dtype(dtype, where="ReduceDtypeSize")
