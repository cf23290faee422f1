"""ValueCount: how long the lists are."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.learned_numbers import LearnedNumbers
from emberline.etl.leaves import as_list
from emberline.etl.min_max import learned_min_max, merged_min_max
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection

__all__ = ["ValueCount"]


@register_operator
class ValueCount(LearnedNumbers):
    """Learn the shortest and longest length of every list column into the schema.

    The property `value_count` gets `min` and `max`. Where all lists have one length, the column
    becomes one of lists of that fixed length, and later data of another length is an error. A
    null list counts as empty.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [[1, 2, 3], [4]]})
    >>> workflow = Workflow(["y"] >> ops.ValueCount()).fit(frame)
    >>> workflow.output_schema["y"].properties
    {'value_count': {'min': 1, 'max': 3}}
    """

    numbers = ("min", "max")

    @property
    def stats(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Column -> "value_count" -> "min" and "max"."""
        return {name: {"value_count": dict(self.learned_of(name))} for name in self.learned or ()}

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no lists."""
        for column in selection.schema:
            if not column.is_list:
                raise ColumnTypeError(
                    f"ValueCount: column {column.name!r} has dtype {column.dtype}; it must be a "
                    "list"
                )

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Find the shortest and the longest length."""
        lengths = [
            as_list(column).list.len().fill_null(0).cast(pl.Int64).alias(column.name)
            for column in selection.schema
        ]
        found = frame.select(lengths).select(
            pl.all().min().name.suffix(".min"), pl.all().max().name.suffix(".max")
        )
        return {"lengths": found}

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Find the shortest and the longest of several parts."""
        return merged_min_max(frames)

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Keep them."""
        self.learned = learned_min_max(statistics)

    def _fixed(self, column: ColumnSchema) -> int | None:
        """Give the one length of all lists, or None."""
        numbers: Mapping[str, Any] = self.learned_of(column.name) if self.fitted else {"min": None}
        return numbers["min"] or None if numbers["min"] == numbers.get("max") else None

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Leave the data as it is, but for lists of one length."""
        arrays = []
        for column in selection.schema:
            if (length := self._fixed(column)) is not None:
                leaf = parse_dtype(column.dtype, column=column.name)
                arrays.append(pl.col(column.name).cast(pl.Array(leaf, length)))
        return frame.with_columns(arrays)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Say how long lists are, once it is known."""
        if not self.fitted:
            return column
        return column.with_properties({"value_count": dict(self.learned_of(column.name))})
