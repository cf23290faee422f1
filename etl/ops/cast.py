"""Cast: another dtype."""

from typing import Any

import polars as pl

from emberline.etl.dtypes import dtype_name, dtype_of, parse_dtype
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["Cast"]


@register_operator
class Cast(Operator):
    """Convert the columns (the leaves of list columns) to a dtype.

    A value that the dtype cannot hold, or a conversion that does not exist, is an error when the
    data is read; fractions are cut off.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": ["1", "20"]})
    >>> Workflow(["y"] >> ops.Cast("int8")).fit_transform(frame)["y"].to_list()
    [1, 20]
    """

    def __init__(self, dtype: Any) -> None:
        """Remember the dtype.

        Args:
            dtype: spelled as in schemas, "int64", "float32", "string", ..., or a NumPy or Polars
                dtype.

        Raises:
            DataError: no such dtype.
        """
        self.dtype = dtype_name(dtype)
        self._dtype = parse_dtype(self.dtype, column="Cast")

    def _cast(self, name: str, selection: Selection) -> pl.Expr:
        column = selection.schema[name]
        if not column.is_list:
            return pl.col(name).cast(self._dtype)
        wide = dtype_of(column)
        if isinstance(wide, pl.Array):
            return pl.col(name).cast(pl.Array(self._dtype, wide.size))
        return pl.col(name).cast(pl.List(self._dtype))

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Convert every column."""
        return frame.with_columns([self._cast(name, selection) for name in selection.names])
