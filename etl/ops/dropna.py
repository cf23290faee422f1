"""Dropna: rows without missing values."""

import polars as pl

from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["Dropna"]


@register_operator
class Dropna(Operator):
    """Drop the rows in which any selected column is null or NaN.

    The rows are dropped from every column of the workflow's output, selected here or not, so that
    they stay aligned. Statistics of other branches still see them.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"x": ["a", None, "b"], "y": [1.0, 2.0, float("nan")]})
    >>> Workflow(["x", "y"] >> ops.Dropna()).fit_transform(frame).rows()
    [('a', 1.0)]
    """

    keeps_groups = True

    @property
    def keeps_rows(self) -> bool:
        """Rows may go."""
        return False

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Keep the other rows."""
        present = []
        for column in selection.schema:
            value = pl.col(column.name)
            if column.dtype.startswith("float") and not column.is_list:
                value = value.fill_nan(None)
            present.append(value.is_not_null())
        return frame.filter(pl.all_horizontal(present))
