"""SplitString: text to a list of texts."""

import polars as pl

from emberline.errors import DataError
from emberline.etl.errors import ColumnTypeError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["SplitString"]


@register_operator
class SplitString(Operator):
    """Split text at a delimiter: `"a|b"` becomes `["a", "b"]`.

    An empty text becomes an empty list, null stays null.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"genres": ["Comedy|Drama", ""]})
    >>> Workflow(["genres"] >> ops.SplitString("|")).fit_transform(frame)["genres"].to_list()
    [['Comedy', 'Drama'], []]
    """

    elementwise = True

    def __init__(self, delimiter: str = "|") -> None:
        """Remember the delimiter, a non-empty text taken literally.

        Raises:
            DataError: the delimiter is empty or no text.
        """
        if not isinstance(delimiter, str) or not delimiter:
            raise DataError(f"SplitString: delimiter must be a non-empty text, got {delimiter!r}")
        self.delimiter = delimiter

    def check(self, selection: Selection) -> None:
        """Refuse columns that are not text."""
        for column in selection.schema:
            if column.is_list or column.dtype not in {"string", "null"}:
                kind = f"list of {column.dtype}" if column.is_list else column.dtype
                raise ColumnTypeError(
                    f"SplitString: column {column.name!r} has dtype {kind}; it must be string"
                )

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its lists."""
        empty = pl.lit([], dtype=pl.List(pl.String))
        out = []
        for name in selection.names:
            text = pl.col(name).cast(pl.String)
            parts = text.str.split(self.delimiter)
            out.append(pl.when(text == "").then(empty).otherwise(parts).alias(name))
        return frame.with_columns(out)
