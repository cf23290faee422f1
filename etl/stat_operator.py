"""Operators that learn from the data."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote, unquote

import polars as pl

from emberline.errors import DataError
from emberline.etl.operator import Operator
from emberline.etl.selection import Selection

__all__ = ["WEIGHT", "StatOperator"]

#: The column of `weighted_partial`; a control character starts it, as no user column may.
WEIGHT = "\x1fweight"
#: Begins the artifacts that hold statistics.
KEPT = "statistics."


class StatOperator(Operator):
    """An operator with statistics that are mergeable aggregates.

    `partial` gives small frames from any part of the rows, `merge` joins the frames of several
    parts, `finalize` turns the merged frames into the fitted state. Merging the partials of parts
    gives exactly the partial of the whole, so one process, many workers and data that comes
    later share this code.

    The merged statistics are kept beside the fitted state: `Workflow.fit(new, update=True)` merges
    them with the partials of new data. Subclasses get this, and its saving, from here:

    * `statistics()` is what `finalize` last took, as long as the operator lives.
    * `artifacts()` writes it and `restore()` reads it back. A subclass with tables of its own adds
      to them (`super().artifacts() | {...}`) and calls `super().restore(...)`; tables that start
      with "statistics." are taken.
    * `update()` is `finalize()` on old and new together, unless results for values that were seen
      before must not change (the ids of Categorify).

    So a merge must lose nothing that a later `finalize` needs: keep sums and counts, not means.
    An operator whose fitted state holds the same numbers already overrides `statistics` and
    `_keep` and saves them once.
    """

    _statistics: Mapping[str, pl.DataFrame] | None = None

    @property
    def fitted(self) -> bool:
        """Whether `finalize` has run."""
        raise NotImplementedError(f"{type(self).__name__} does not define fitted")

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Give the plans of the statistics over `frame`, by name.

        Args:
            frame: has the selected and the extra columns under their names (and others, to be
                ignored).
            selection: the input columns with their schema.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define partial")

    def weighted_partial(
        self, frame: pl.LazyFrame, selection: Selection
    ) -> dict[str, pl.LazyFrame] | None:
        """Give `partial` of rows that stand for several equal ones, or None if it needs them all.

        Args:
            frame: as for `partial`, and `WEIGHT`: how many rows each stands for, int64.
            selection: some of the input columns; groups are there whole or not at all.
        """
        return None

    def condense(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Turn the collected plan called `name` of `partial` into the statistics of the part.

        For what is faster outside of the engine. Called from several threads; by default the plan
        gives the statistics already.
        """
        return frame

    def keys(self, name: str, selection: Selection) -> Sequence[str]:
        """Give the columns of the statistics `name` whose equal values a merge brings together.

        Rows with different keys never meet in `merge`: statistics that outgrow the memory may be
        split by a hash of these columns and merged range by range. None (the default): the
        statistics are small, whatever the data, and are merged whole.
        """
        return ()

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Join the statistics called `name` of several parts of the data.

        A pure function of the frames, associative, and the same for any order of them.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define merge")

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Take the merged statistics as the fitted state, whatever that was before."""
        raise NotImplementedError(f"{type(self).__name__} does not define finalize")

    def update(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Take the statistics of all data so far, old and new, when the operator is fitted."""
        self.finalize(statistics, selection)

    def learn(
        self, statistics: Mapping[str, pl.DataFrame], selection: Selection, *, update: bool = False
    ) -> None:
        """Finalize or update, and keep the statistics; what the fit calls."""
        (self.update if update else self.finalize)(statistics, selection)
        self._keep(statistics)

    def _keep(self, statistics: Mapping[str, pl.DataFrame]) -> None:
        self._statistics = dict(statistics)

    def statistics(self) -> Mapping[str, pl.DataFrame]:
        """Give the merged statistics of all data so far, by name.

        Raises:
            DataError: there are none: not fitted, or saved by a version that did not keep them.
        """
        if self._statistics is None:
            raise DataError(
                f"{type(self).__name__} has no statistics to update: it was not fitted, or was "
                "saved without them; fit it on all data, without update"
            )
        return self._statistics

    def unfitted(self) -> Self:
        """Give a copy with the same arguments that has learned nothing."""
        parameters = inspect.signature(type(self)).parameters
        return type(self)(**{name: getattr(self, name) for name in parameters})

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give the statistics, each under "statistics." and its percent-encoded name."""
        kept = self._statistics or {}
        return {f"{KEPT}{quote(name, safe=' ')}": frame for name, frame in kept.items()}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator, with its statistics."""
        operator = super().restore(arguments, artifacts)
        kept = {
            unquote(key.removeprefix(KEPT)): frame
            for key, frame in artifacts.items()
            if key.startswith(KEPT)
        }
        operator._statistics = kept or None
        return operator
