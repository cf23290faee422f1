"""What an operator is."""

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from emberline.errors import ArtifactCorruptError
from emberline.etl.dtypes import column_of, dtype_of
from emberline.etl.schema import ColumnSchema, Schema
from emberline.etl.selection import Selection

if TYPE_CHECKING:
    from emberline.etl.joined_table import JoinedTable
    from emberline.etl.node import Node

__all__ = ["ROW_INDEX", "Operator"]

#: The plan's column of row positions; a control character starts it, as no user column may.
ROW_INDEX = "\x1frow"


class Operator:
    """A step from columns to columns, as one piece of a lazy Polars plan.

    Subclasses write `transform`, and whichever other method differs from its default. Arguments
    of `__init__` are kept in attributes of the same name: that is what `save` writes and
    `restore` gives back to `__init__`.
    """

    #: True when the outputs are the inputs with other metadata: joint groups then stay.
    keeps_groups = False

    #: True when the outputs are other rows than the inputs (one a group, say). Columns of the rows
    #: before cannot be joined with them.
    makes_rows = False

    #: True when `transform` and `partial` read `ROW_INDEX`, the position of a row in the data
    #: (uint32 from 0), which is then there whatever was filtered before.
    uses_row_index = False

    #: True when an output is made of the inputs in its own row alone and no value is refused. What
    #: such an operator makes of joined columns is made once for each row of the table, also for
    #: rows that the data never meets.
    elementwise = False

    @property
    def keeps_rows(self) -> bool:
        """Whether `transform` gives every row once, in order; the default says yes."""
        return True

    @property
    def dependencies(self) -> Sequence[Any]:
        """Columns that are needed beside the selected ones: names, selectors or nodes.

        They come to the other methods as `Selection.extra`. A name is a selected column where
        there is one of that name, or else a column of the data.
        """
        return ()

    def reads_other_rows(self, selection: Selection) -> bool:
        """Say whether an output row depends on other rows: neighbours, groups, aggregates.

        What learns from such columns gets all data in one part.
        """
        return self.makes_rows

    def check(self, selection: Selection) -> None:
        """Refuse columns that this operator cannot use; called before anything is read.

        Raises:
            ColumnTypeError: a column's dtype; the message names column, dtype and the fix.
            ColumnNotFoundError: a column that is needed beside the selected ones.
        """

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the output columns in order, each with the input columns that it needs."""
        return {name: (name,) for name in selection.names}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Add or replace the output columns in `frame`.

        Args:
            frame: has the selected and the extra columns under their names. It carries other
                columns too, under names that no user column has: leave them as they are.
            selection: the input columns with their schema.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define transform")

    def joined_table(self, selection: Selection) -> "JoinedTable | None":
        """Give the table whose columns are the outputs beside the inputs, if this is such a join.

        It is then used instead of `transform`, and gives the same.
        """
        return None

    def reduced(self, selection: Selection, outputs: Sequence[str]) -> "Operator":
        """Give the operator that makes only the `outputs`, because other inputs are removed.

        The default is right where nothing in the arguments names an input.

        Args:
            selection: the columns before the removal.
            outputs: of `column_mapping`, those that are left.
        """
        return self

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Add tags and properties to an output column; the default adds none."""
        return column

    def output_schema(self, selection: Selection) -> Schema:
        """Give the output columns: dtypes from the plan, tags from the first input column."""
        mapping = self.column_mapping(selection)
        found = self.output_dtypes(selection)
        columns = []
        for name, sources in mapping.items():
            made = column_of(name, found[name])
            if sources:
                source = selection.available[sources[0]]
                properties = dict(source.properties)
                if made.is_list != source.is_list or made.is_ragged != source.is_ragged:
                    properties.pop("value_count", None)
                made = made.with_tags(source.tags).with_properties(
                    {**properties, **made.properties}
                )
            columns.append(self.describe(made, selection))
        return Schema(columns)

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Give the dtypes of the outputs, by a run of the plan over no rows."""
        schema = {column.name: dtype_of(column) for column in selection.available}
        if self.uses_row_index:
            schema[ROW_INDEX] = pl.UInt32()
        frame = self.transform(pl.LazyFrame(schema=schema), selection)
        return dict(frame.collect_schema().items())

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give what `restore` needs, as JSON values.

        Args:
            selection: the columns at this operator's place in the graph.

        Raises:
            UnsupportedError: this operator cannot be saved; the message says what to use.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give the tables to save beside the arguments, each as `<key>.parquet`."""
        return {}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator from `arguments` and `artifacts`.

        Raises:
            ArtifactCorruptError: an argument that `__init__` does not have or refuses.
        """
        parameters = inspect.signature(cls).parameters
        for name in arguments:
            if name not in parameters:
                raise ArtifactCorruptError(
                    f"{cls.__name__} has no argument {name!r}; it takes: {', '.join(parameters)}"
                )
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise ArtifactCorruptError(f"{cls.__name__}: {error}") from error

    def __rrshift__(self, columns: object) -> "Node":
        """Apply the operator to columns of the data: `["a", "b"] >> Op()`."""
        from emberline.etl.node import Node

        return Node.select(columns) >> self

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        shown = (
            f"{n}={getattr(self, n)!r}"
            for n, p in parameters.items()
            if hasattr(self, n) and getattr(self, n) != p.default
        )
        return f"{type(self).__name__}({', '.join(shown)})"
