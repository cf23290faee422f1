"""HashedCross: combinations of columns to buckets by a stable hash."""

from collections.abc import Mapping

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.hashing import bucket_of, with_combined_hash, with_hashes
from emberline.etl.operator import Operator
from emberline.etl.ops.hash_bucket import HASH, check_buckets, described_as_bucket
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection

__all__ = ["HashedCross"]


@register_operator
class HashedCross(Operator):
    """Make one column of buckets, int32, from each group of columns: `a_X_b`.

    The columns' hashes are those of `HashBucket`; their order matters, so that a cross of a column
    with itself is no constant. Without groups all selected columns are crossed with each other.

    >>> import polars as pl
    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "hour": [7, 7, None]})
    >>> workflow = Workflow([["city", "hour"]] >> ops.HashedCross(100))
    >>> workflow.fit_transform(frame).to_dict(as_series=False)
    {'city_X_hour': [92, 5, 29]}
    """

    elementwise = True

    def __init__(self, num_buckets: int | Mapping[str | tuple[str, ...], int]) -> None:
        """Remember the number of buckets.

        Args:
            num_buckets: one number for all crosses, or one for each, by its name (`a_X_b`) or the
                tuple of its columns.

        Raises:
            DataError: no number between 1 and 2**31 - 1.
        """
        if isinstance(num_buckets, Mapping):
            num_buckets = {
                _name(key) if isinstance(key, tuple) else key: n for key, n in num_buckets.items()
            }
        self.num_buckets = check_buckets("HashedCross", num_buckets)

    def _crosses(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        if selection.groups or selection.broken_groups:
            return {_name(group): group for group in selection.groups}
        return {_name(selection.names): tuple(selection.names)}

    def check(self, selection: Selection) -> None:
        """Refuse lists, dtypes without a hash, and columns that are crossed with nothing."""
        crosses = self._crosses(selection)
        if crosses and selection.alone and selection.groups:
            raise DataError(
                f"HashedCross: columns {selection.alone} are in no group; write the columns of "
                'each cross as a list of their own: [["a", "b"], ["c", "d"]] >> HashedCross(100)'
            )
        for name, columns in crosses.items():
            if len(columns) < 2:
                raise DataError(f"HashedCross: {list(columns)} is one column; a cross needs two")
            if name in selection.schema:
                raise DataError(f"HashedCross: there is a column {name!r} already; rename it")
            self._count(name)
        for column in selection.schema:
            parse_dtype(column.dtype, column=column.name)
            if column.is_list:
                raise ColumnTypeError(
                    f"HashedCross: column {column.name!r} holds lists; crosses are made of scalars"
                )

    def _count(self, name: str) -> int:
        if isinstance(self.num_buckets, int):
            return self.num_buckets
        if name not in self.num_buckets:
            raise DataError(
                f"HashedCross: num_buckets has no number for {name!r}"
                f"{nearest(name, self.num_buckets)}"
            )
        return self.num_buckets[name]

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the crosses, each with its columns."""
        return self._crosses(selection)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Add the crosses."""
        crosses = self._crosses(selection)
        members = dict.fromkeys(column for columns in crosses.values() for column in columns)
        hashes = {
            f"{HASH}{c}": (c, parse_dtype(selection.schema[c].dtype, column=c)) for c in members
        }
        frame = with_hashes(frame, hashes)
        for name, columns in crosses.items():
            frame = with_combined_hash(frame, name, [f"{HASH}{column}" for column in columns])
            buckets = bucket_of(pl.col(name), self._count(name))
            frame = frame.with_columns(buckets.cast(pl.Int32).alias(name))
        return frame.drop(hashes)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the cross categorical, with its domain and embedding sizes, and nothing else."""
        made = ColumnSchema(column.name, column.dtype)
        return described_as_bucket(made, self._count(column.name))


def _name(columns: tuple[str, ...] | list[str]) -> str:
    return "_X_".join(columns)
