"""HashBucket: values to buckets by a stable hash."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.dtypes import parse_dtype
from emberline.etl.embedding_sizes import embedding_dimension
from emberline.etl.hashing import bucket_of, stable_hash, with_hashes
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["HashBucket", "check_buckets", "described_as_bucket"]

#: Begins the names of hashes in a plan; no user column starts like this.
HASH = "\x1fhash"


@register_operator
class HashBucket(Operator):
    """Replace values by `hash(value) % num_buckets`, an int32.

    The hash (`etl/hashing.py`, with test vectors in `docs/nvtabular.md`) depends on the value
    alone: not on the row, the process, the machine or the version of a library. Integers of any
    width, bool and uint64 share a hash, as do float32 and float64. Nulls are in bucket 0. The leaves of
    list columns are replaced; a null list becomes an empty one.

    >>> import polars as pl
    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"city": ["Oslo", "Rome", "Oslo", None]})
    >>> Workflow(["city"] >> ops.HashBucket(1000)).fit_transform(frame)["city"].to_list()
    [408, 900, 408, 0]
    """

    elementwise = True

    def __init__(self, num_buckets: int | Mapping[str, int]) -> None:
        """Remember the number of buckets.

        Args:
            num_buckets: one number for all columns, or one for each.

        Raises:
            DataError: no number between 1 and 2**31 - 1.
        """
        self.num_buckets = check_buckets("HashBucket", num_buckets)

    def check(self, selection: Selection) -> None:
        """Refuse dtypes without a hash, and columns without a number of buckets."""
        for column in selection.schema:
            parse_dtype(column.dtype, column=column.name)
            self._count(column.name)

    def _count(self, name: str) -> int:
        if isinstance(self.num_buckets, int):
            return self.num_buckets
        if name not in self.num_buckets:
            raise DataError(
                f"HashBucket: num_buckets has no number for column {name!r}"
                f"{nearest(name, self.num_buckets)}"
            )
        return self.num_buckets[name]

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its buckets."""
        dtypes = {c.name: parse_dtype(c.dtype, column=c.name) for c in selection.schema}
        lists = [c.name for c in selection.schema if c.is_list]
        scalars = [c.name for c in selection.schema if not c.is_list]
        frame = with_hashes(frame, {f"{HASH}{name}": (name, dtypes[name]) for name in scalars})
        out = [self._bucket(pl.col(f"{HASH}{name}"), name).alias(name) for name in scalars]
        for name in lists:
            buckets = self._bucket(stable_hash(pl.element(), dtypes[name]), name)
            rows = pl.col(name).cast(pl.List(dtypes[name])).list.eval(buckets)
            out.append(rows.fill_null(pl.lit([], dtype=pl.List(pl.Int32))).alias(name))
        return frame.with_columns(out).drop(f"{HASH}{name}" for name in scalars)

    def _bucket(self, hashed: pl.Expr, name: str) -> pl.Expr:
        return bucket_of(hashed, self._count(name)).cast(pl.Int32)

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column categorical, with its domain and embedding sizes."""
        return described_as_bucket(column, self._count(column.name))


def check_buckets(where: str, num_buckets: Any) -> int | dict[str, int]:
    """Give the numbers of buckets, checked.

    Args:
        where: the operator, for the message.
        num_buckets: a number, or a mapping to numbers.

    Raises:
        DataError: no number between 1 and 2**31 - 1.
    """
    given = num_buckets.values() if isinstance(num_buckets, Mapping) else [num_buckets]
    for count in given:
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count < 2**31:
            raise DataError(
                f"{where}: num_buckets must be an integer from 1 to 2**31 - 1, or one for each "
                f"name, got {num_buckets!r}"
            )
    return dict(num_buckets) if isinstance(num_buckets, Mapping) else int(num_buckets)


def described_as_bucket(column: ColumnSchema, count: int) -> ColumnSchema:
    """Give a column of buckets with its tag, domain and embedding sizes."""
    return column.with_tags([Tags.CATEGORICAL]).with_properties(
        {
            "domain": {"min": 0, "max": count - 1},
            "embedding_sizes": {"cardinality": count, "dimension": embedding_dimension(count)},
        }
    )
