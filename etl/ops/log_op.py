"""LogOp: log(x + 1)."""

import polars as pl

from emberline.etl.dtypes import is_number
from emberline.etl.errors import ColumnTypeError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["LogOp"]


@register_operator
class LogOp(Operator):
    """Give the natural logarithm of x + 1, float32, tagged continuous; null stays null."""

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no numbers."""
        for column in selection.schema:
            if not is_number(column):
                raise ColumnTypeError(
                    f"LogOp: column {column.name!r} has dtype {column.dtype}"
                    f"{' (list)' if column.is_list else ''}; it must be a number"
                )

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its logarithm, computed in float64."""
        columns = (pl.col(name).cast(pl.Float64) for name in selection.names)
        return frame.with_columns(column.log1p().cast(pl.Float32) for column in columns)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column continuous."""
        return column.with_tags([Tags.CONTINUOUS])
