"""ListSlice: a part of every list."""

from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import integer_range, parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.leaves import as_list
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["ListSlice"]


@register_operator
class ListSlice(Operator):
    """Keep a slice of every list, as Python slices do; tagged list.

    `ListSlice(10)` keeps the first ten, `ListSlice(-10)` the last ten, `ListSlice(1, 11)` ten after
    the first. With `pad` shorter lists are filled up on the right, and the column becomes one of
    lists of a fixed length. A null list stays null, or with `pad` becomes padding alone.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [[1, 2, 3], [4], []]})
    >>> Workflow(["y"] >> ops.ListSlice(-2)).fit_transform(frame)["y"].to_list()
    [[2, 3], [4], []]
    >>> Workflow(["y"] >> ops.ListSlice(2, pad=True)).fit_transform(frame)["y"].to_list()
    [[1, 2], [4, 0], [0, 0]]
    """

    elementwise = True

    def __init__(
        self, start: int, end: int | None = None, pad: bool = False, pad_value: float | str = 0.0
    ) -> None:
        """Remember the slice.

        Args:
            start: where it starts; alone and positive, where it ends.
            end: where it ends; None is the end of the list.
            pad: fill shorter lists up.
            pad_value: with this, in the dtype of the column.

        Raises:
            DataError: no integers, or `pad` of a slice without a length of its own.
        """
        for name, value in (("start", start), ("end", end)):
            if isinstance(value, bool) or not isinstance(value, (int, type(None))):
                raise DataError(f"ListSlice: {name} must be an integer, got {value!r}")
        self.start, self.end = int(start), end
        self.pad, self.pad_value = bool(pad), pad_value
        first, last = (0, start) if start > 0 and end is None else (start, end)
        self._first, self._last = first, last
        #: The length that no slice exceeds, or None.
        self.max_elements: int | None = None
        if last is None:
            self.max_elements = -first if first < 0 else None
        elif (first < 0) == (last < 0):
            self.max_elements = max(0, last - first)
        else:
            # From the end and from the start: [-3:2] has up to 2, [1:-1] any number.
            self.max_elements = min(-first, last) if first < 0 else None
        if self.pad and not self.max_elements:
            raise DataError(
                f"ListSlice: pad=True needs a slice of a known length above 0, got start={start}, "
                f"end={end}"
            )

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no lists, and padding that they cannot hold."""
        for column in selection.schema:
            if not column.is_list:
                raise ColumnTypeError(
                    f"ListSlice: column {column.name!r} has dtype {column.dtype}; it must be a list"
                )
            if self.pad:
                self._padding(column)

    def _padding(self, column: ColumnSchema) -> Any:
        """Give the padding in the dtype of the column's leaves."""
        value, dtype = self.pad_value, column.dtype
        if isinstance(value, str):
            fits = dtype == "string"
        elif "int" in dtype:
            low, high = integer_range(dtype)
            fits = float(value).is_integer() and low <= value <= high
            value = int(value) if fits else value
        else:
            fits = dtype.startswith("float")
        if not fits:
            raise ColumnTypeError(
                f"ListSlice: column {column.name!r} holds {dtype}, which cannot hold the "
                f"pad_value {value!r}; give another"
            )
        return value

    def _slice(self, lists: pl.Expr) -> pl.Expr:
        """Slice lists by numbers alone: Polars 1.44 fails on slices by columns of null lists."""
        first, last = self._first, self._last
        if first < 0 and last is not None and last >= 0:
            position, size = pl.int_range(pl.len()), pl.len().cast(pl.Int64)
            return lists.list.eval(
                pl.element().filter((position >= size + first) & (position < last))
            )
        out = lists.list.slice(first) if first >= 0 else lists.list.tail(-first)
        if last is not None and last >= 0:
            return out.list.head(max(0, last - first))
        return out if last is None else out.list.reverse().list.slice(-last).list.reverse()

    def _sliced(self, column: ColumnSchema) -> pl.Expr:
        sliced = self._slice(as_list(column))
        if not self.pad or self.max_elements is None:
            return sliced.alias(column.name)
        leaf = parse_dtype(column.dtype, column=column.name)
        sliced = pl.coalesce(sliced, pl.lit([], dtype=pl.List(leaf)))
        missing = self.max_elements - sliced.list.len().cast(pl.Int64)
        padding = pl.lit(self._padding(column), dtype=leaf).repeat_by(missing)
        padded = pl.concat_list(sliced, padding)
        return padded.list.to_array(self.max_elements).alias(column.name)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Slice every column."""
        return frame.with_columns(self._sliced(column) for column in selection.schema)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column list and say how long lists are."""
        least = self.max_elements if self.pad else 0
        lengths = {"value_count": {"min": least, "max": self.max_elements}}
        return column.with_tags([Tags.LIST]).with_properties(lengths)
