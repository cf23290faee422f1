"""DifferenceLag: the change from an earlier or to a later row."""

from collections.abc import Sequence

import polars as pl

from emberline.errors import DataError
from emberline.etl.errors import ColumnNotFoundError, ColumnTypeError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["DifferenceLag"]


@register_operator
class DifferenceLag(Operator):
    """Give x minus the x of the row `shift` rows before, where both are of one partition.

    The data must be in order, the rows of a partition together, as for time since a user's last
    event: sorted by user and time. `y` becomes `y_difference_lag_<shift>`, float32, tagged
    continuous; null where the other row is another partition's, does not exist, or either value is
    null. A negative shift looks at later rows. Neighbours are found across files and parts.

    The difference is taken in the column's own dtype (of times: in its unit, of dates: in days), then made float32.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"user": [1, 1, 2], "t": [5, 9, 4]})
    >>> node = ["t"] >> ops.DifferenceLag("user")
    >>> Workflow(node).fit_transform(frame)["t_difference_lag_1"].to_list()
    [None, 4.0, None]
    """

    def __init__(self, partition_cols: str | Sequence[str], shift: int | Sequence[int] = 1) -> None:
        """Remember partitions and shifts.

        Args:
            partition_cols: the column or columns whose change starts a partition.
            shift: how many rows back, or several such numbers; below 0 forward.

        Raises:
            DataError: no partition column, or a shift that is no integer or 0.
        """
        names = [partition_cols] if isinstance(partition_cols, str) else list(partition_cols)
        shifts = [shift] if isinstance(shift, int) else list(shift)
        if not names or not all(isinstance(name, str) for name in names):
            raise DataError(f"DifferenceLag: partition_cols must be names, got {partition_cols!r}")
        for number in shifts:
            if isinstance(number, bool) or not isinstance(number, int) or number == 0:
                raise DataError(f"DifferenceLag: a shift must be an integer but 0, got {number!r}")
        self.partition_cols, self.shift = names, shifts

    @property
    def dependencies(self) -> Sequence[str]:
        """The partition columns."""
        return self.partition_cols

    def reads_other_rows(self, selection: Selection) -> bool:
        """It does."""
        return True

    def check(self, selection: Selection) -> None:
        """Refuse columns without differences, and partition columns that do not exist."""
        for name in self.partition_cols:
            if name not in selection.available:
                raise ColumnNotFoundError(f"DifferenceLag: no column {name!r} to partition by")
        timed = ("int", "uint", "float", "datetime64", "timedelta64", "date")
        for column in selection.schema:
            if column.is_list or not column.dtype.startswith(timed):
                raise ColumnTypeError(
                    f"DifferenceLag: column {column.name!r} has dtype {column.dtype}"
                    f"{' (list)' if column.is_list else ''}; it must be a number or a time"
                )

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give one column for each shift and column."""
        return {
            f"{name}_difference_lag_{shift}": (name, *self.partition_cols)
            for shift in self.shift
            for name in selection.names
        }

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Add the differences."""
        out = []
        for shift in self.shift:
            same = [pl.col(name) == pl.col(name).shift(shift) for name in self.partition_cols]
            for column in selection.schema:
                value = pl.col(column.name)
                if not column.dtype.startswith("float"):
                    # Times as their numbers; and an unsigned difference would wrap.
                    value = value.to_physical().cast(pl.Int64)
                difference = value - value.shift(shift)
                lag = pl.when(pl.all_horizontal(same)).then(difference.cast(pl.Float32))
                out.append(lag.alias(f"{column.name}_difference_lag_{shift}"))
        return frame.with_columns(out)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column continuous."""
        return column.with_tags([Tags.CONTINUOUS])
