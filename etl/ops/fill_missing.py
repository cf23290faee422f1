"""FillMissing: a constant for missing values."""

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import integer_range, parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["FillMissing"]


@register_operator
class FillMissing(Operator):
    """Replace nulls and NaN by a constant.

    With `add_binary_cols` a bool column `<name>_filled` says where. The dtype stays; an all-null
    column takes the constant's.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"y": [1.0, None]})
    >>> Workflow(["y"] >> ops.FillMissing(-1, add_binary_cols=True)).fit_transform(frame).rows()
    [(1.0, False), (-1.0, True)]
    """

    elementwise = True

    def __init__(self, fill_val: float | str | bool = 0, add_binary_cols: bool = False) -> None:
        """Remember the constant.

        Raises:
            DataError: `fill_val` is no number, text or bool.
        """
        if not isinstance(fill_val, (bool, int, float, str)):
            raise DataError(f"FillMissing: fill_val must be a number or text, got {fill_val!r}")
        self.fill_val = fill_val
        self.add_binary_cols = bool(add_binary_cols)

    def check(self, selection: Selection) -> None:
        """Refuse lists, and columns whose dtype cannot hold the constant exactly."""
        for column in selection.schema:
            if column.is_list:
                raise ColumnTypeError(f"FillMissing: column {column.name!r} is a list column")
            if self.add_binary_cols and f"{column.name}_filled" in selection.schema:
                raise DataError(f"FillMissing: there is a column {column.name}_filled already")
            if not self._fits(column.dtype):
                raise ColumnTypeError(
                    f"FillMissing: column {column.name!r} has dtype {column.dtype}, which cannot "
                    f"hold {self.fill_val!r}; choose another fill_val or cast the column before"
                )

    def _fits(self, dtype: str) -> bool:
        value = self.fill_val
        if isinstance(value, (str, bool)):
            return dtype in {"null", "string" if isinstance(value, str) else "bool"}
        if dtype.startswith(("int", "uint")):
            low, high = integer_range(dtype)
            return float(value).is_integer() and low <= value <= high
        return dtype == "null" or dtype.startswith("float")

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the columns, then their `_filled` columns."""
        mapping: dict[str, tuple[str, ...]] = {name: (name,) for name in selection.names}
        if self.add_binary_cols:
            mapping |= {f"{name}_filled": (name,) for name in selection.names}
        return mapping

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Fill every column."""
        out = []
        for column in selection.schema:
            given = pl.col(column.name)
            if column.dtype.startswith("float"):
                given = given.fill_nan(None)
            if column.dtype == "null":
                value = pl.lit(self.fill_val)
            else:
                value = pl.lit(self.fill_val, dtype=parse_dtype(column.dtype, column=column.name))
            out.append(pl.coalesce(given, value).alias(column.name))
            if self.add_binary_cols:
                out.append(given.is_null().alias(f"{column.name}_filled"))
        return frame.with_columns(out)
