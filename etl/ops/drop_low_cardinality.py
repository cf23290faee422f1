"""DropLowCardinality: leave out columns with few categories."""

import polars as pl

from emberline.errors import DataError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["DropLowCardinality"]


@register_operator
class DropLowCardinality(Operator):
    """Leave out the categorical columns whose largest id is below `min_cardinality`.

    It reads the `domain` that Categorify learns (its largest id counts padding, null and out of
    vocabulary too: three ids before the first category), so before the fit nothing is left out.
    Columns without the tag or the domain stay.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"few": ["a", "a", "b"], "many": ["a", "b", "c"]})
    >>> node = ["few", "many"] >> ops.Categorify() >> ops.DropLowCardinality(5)
    >>> Workflow(node).fit_transform(frame).columns
    ['many']
    """

    def __init__(self, min_cardinality: int = 4) -> None:
        """Remember the bound.

        Raises:
            DataError: not an integer.
        """
        if isinstance(min_cardinality, bool) or not isinstance(min_cardinality, int):
            raise DataError(
                f"DropLowCardinality: min_cardinality must be an integer, got {min_cardinality!r}"
            )
        self.min_cardinality = min_cardinality

    def _drops(self, column: ColumnSchema) -> bool:
        domain = column.properties.get("domain")
        if Tags.CATEGORICAL not in column.tags or not isinstance(domain, dict):
            return False
        return domain.get("max") is not None and domain["max"] < self.min_cardinality

    def check(self, selection: Selection) -> None:
        """Refuse to leave out every column."""
        if all(self._drops(column) for column in selection.schema):
            raise DataError(
                f"DropLowCardinality({self.min_cardinality}): every column of {selection.names} "
                "has fewer ids; choose a smaller min_cardinality"
            )

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the columns that stay."""
        return {c.name: (c.name,) for c in selection.schema if not self._drops(c)}

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """As the inputs."""
        dtypes = super().output_dtypes(selection)
        return {name: dtypes[name] for name in self.column_mapping(selection)}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Leave the data as it is; what is dropped is not read on."""
        return frame
