"""Operators that learn from the data."""

from collections.abc import Mapping, Sequence

import polars as pl

from emberline.etl.operator import Operator
from emberline.etl.selection import Selection

__all__ = ["StatOperator"]


class StatOperator(Operator):
    """An operator with statistics that are mergeable aggregates.

    `partial` gives small frames from any part of the rows, `merge` joins the frames of several
    parts, `finalize` turns the merged frames into the fitted state. Merging the partials of parts
    gives exactly the partial of the whole, so one process, many workers and data that comes
    later share this code.
    """

    @property
    def fitted(self) -> bool:
        """Whether `finalize` has run."""
        raise NotImplementedError(f"{type(self).__name__} does not define fitted")

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Give the plans of the statistics over `frame`, by name.

        Args:
            frame: has the selected columns under their names (and others, to be ignored).
            selection: the input columns with their schema.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define partial")

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Join the statistics called `name` of several parts of the data."""
        raise NotImplementedError(f"{type(self).__name__} does not define merge")

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Take the merged statistics as the fitted state."""
        raise NotImplementedError(f"{type(self).__name__} does not define finalize")
