"""Bucketize: numbers to bins."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.leaves import require_numbers
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["Bucketize"]

Boundaries = Sequence[float]


@register_operator
class Bucketize(Operator):
    """Give the number of the bin that a value falls in, int32, tagged categorical.

    Bin 0 is below the first boundary; a value on a boundary is in the bin above it. As in
    NVTabular null and NaN are in the last bin, `len(boundaries)`.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [1.0, 2.0, 3.0, 9.0, None]})
    >>> Workflow(["y"] >> ops.Bucketize([2, 5])).fit_transform(frame)["y"].to_list()
    [0, 1, 1, 2, 2]
    """

    elementwise = True

    def __init__(
        self, boundaries: Boundaries | Mapping[str, Boundaries] | Callable[[str], Boundaries]
    ) -> None:
        """Remember the boundaries.

        Args:
            boundaries: ascending numbers for all columns, or column -> numbers, or a function of
                the column's name that gives them. A saved workflow holds the numbers.

        Raises:
            DataError: no numbers, or not ascending.
        """
        self.boundaries: Any = boundaries
        if isinstance(boundaries, Mapping):
            self.boundaries = {name: _checked(given, name) for name, given in boundaries.items()}
        elif not callable(boundaries):
            self.boundaries = _checked(boundaries, "all columns")

    def _of(self, column: str) -> list[float]:
        if isinstance(self.boundaries, dict):
            if column not in self.boundaries:
                raise DataError(
                    f"Bucketize: boundaries has no entry for column {column!r}"
                    f"{nearest(column, self.boundaries)}"
                )
            return list(self.boundaries[column])
        if callable(self.boundaries):
            return _checked(self.boundaries(column), column)
        return list(self.boundaries)

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers or have no boundaries."""
        require_numbers(selection.schema, where="Bucketize", lists=False)
        for name in selection.names:
            self._of(name)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its bins."""
        out = []
        for column in selection.schema:
            value, bounds = pl.col(column.name), self._of(column.name)
            if column.dtype.startswith("float"):
                value = value.fill_nan(None)
            reached = pl.sum_horizontal((value >= bound).cast(pl.Int32) for bound in bounds)
            bins = pl.when(value.is_null()).then(len(bounds)).otherwise(reached)
            out.append(bins.cast(pl.Int32).alias(column.name))
        return frame.with_columns(out)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column categorical."""
        return column.with_tags([Tags.CATEGORICAL])

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the numbers, so that a function need not be saved."""
        if callable(self.boundaries):
            return {"boundaries": {name: self._of(name) for name in selection.names}}
        return {"boundaries": self.boundaries}


def _checked(boundaries: object, column: str) -> list[float]:
    try:
        numbers = [item.item() if hasattr(item, "item") else item for item in boundaries]  # type: ignore[attr-defined]  # what is no iterable of numbers is refused below
        good = bool(numbers) and all(
            isinstance(n, (int, float)) and math.isfinite(n) and not isinstance(n, bool)
            for n in numbers
        )
    except TypeError:
        numbers, good = [], False
    if not good:
        raise DataError(
            f"Bucketize: the boundaries of {column} must be a list of numbers, got {boundaries!r}"
        )
    if sorted(set(numbers)) != numbers:
        raise DataError(
            f"Bucketize: the boundaries of {column} must ascend, got {boundaries!r}; sort them"
        )
    return numbers
