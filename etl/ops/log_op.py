"""LogOp: log(x + 1)."""

import polars as pl

from emberline.etl.leaves import map_leaves, require_numbers
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["LogOp"]


@register_operator
class LogOp(Operator):
    """Give the natural logarithm of x + 1, float32, tagged continuous; null stays null.

    Of numbers or of the leaves of lists. Below -1 the result is NaN, of -1 it is -inf.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [0.0, 1.0, None]})
    >>> Workflow(["y"] >> ops.LogOp()).fit_transform(frame)["y"].round(3).to_list()
    [0.0, 0.6930000185966492, None]
    """

    elementwise = True

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers."""
        require_numbers(selection.schema, where="LogOp")

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its logarithm, computed in float64."""

        def logarithm(value: pl.Expr) -> pl.Expr:
            return value.cast(pl.Float64).log1p().cast(pl.Float32)

        return frame.with_columns(map_leaves(column, logarithm) for column in selection.schema)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column continuous."""
        return column.with_tags([Tags.CONTINUOUS])
