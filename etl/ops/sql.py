"""Sql: one column from an SQL expression."""

import polars as pl
from polars.exceptions import PolarsError

from emberline.errors import DataError
from emberline.etl.dtypes import dtype_of
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["Sql"]


@register_operator
class Sql(Operator):
    """Compute one column with an SQL expression over the selected columns, row by row.

    `["rating"] >> Sql("CAST(rating >= 4 AS INT)", name="label")`. The expression is saved as its
    text and parsed by Polars' SQL front end: loading it runs no Python code. The output is the new
    column alone.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"price": [2.0, 5.0], "count": [3, 1]})
    >>> node = ["price", "count"] >> ops.Sql("price * count", name="total")
    >>> Workflow(node).fit_transform(frame)["total"].to_list()
    [6.0, 5.0]
    """

    def __init__(self, expression: str, name: str) -> None:
        """Parse the expression.

        Args:
            expression: an SQL expression; aggregates are refused, because they would depend on
                which rows are transformed together.
            name: of the new column.

        Raises:
            DataError: not an SQL expression, or no name.
        """
        if not isinstance(name, str) or not name:
            raise DataError(f"Sql: name must be a non-empty string, got {name!r}")
        try:
            parsed = pl.sql_expr(expression)
        except (PolarsError, TypeError) as error:
            raise DataError(f"Sql: {expression!r} is not an SQL expression: {error}") from error
        self.expression = expression
        self.name = name
        self._expr = parsed.alias(name)

    def check(self, selection: Selection) -> None:
        """Refuse unknown columns, types that do not fit, and aggregates."""
        where = f"Sql({self.expression!r})"
        selection.require(self._expr.meta.root_names(), where=where)
        schema = {column.name: dtype_of(column) for column in selection.schema}
        # Two rows of nulls: an aggregate makes one row of them.
        sample = pl.DataFrame({name: [None, None] for name in schema}, schema=schema)
        try:
            rows = sample.select(self._expr).height
        except PolarsError as error:
            raise DataError(
                f"{where} cannot be computed from {selection.schema!r}: {error}"
            ) from error
        if rows != sample.height and self._expr.meta.root_names():
            raise DataError(
                f"{where} is an aggregate over rows; an expression must give one value for each row"
            )

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the one output with the columns that the expression names."""
        roots = dict.fromkeys(self._expr.meta.root_names())
        return {self.name: tuple(roots) or tuple(selection.names)}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Add the column."""
        return frame.with_columns(self._expr)
