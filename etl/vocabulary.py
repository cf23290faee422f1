"""The categories of one Categorify vocabulary, and how a column is encoded with them."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import polars as pl

from emberline.errors import ArtifactCorruptError
from emberline.etl.keys import canonical_key

__all__ = ["FIRST", "NULL", "OOV", "Vocabulary"]

#: Ids. 0 is padding and never produced.
NULL = 1
OOV = 2
FIRST = 3

#: Above this many categories a column is joined with the vocabulary; below, `replace_strict`
#: looks ids up inside the expression. Both give the same ids. The expression builds its hash
#: table again for every morsel of rows, the join once.
JOIN_ABOVE = 65_536


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Categories in the order of their ids: row i has id `FIRST + i`.

    Attributes:
        name: the column, or the joint group's name.
        values: the categories, distinct, without null.
        counts: how often each was seen, int64; None for a vocabulary that was given.
        nulls: how many nulls were seen.
        infrequent: how many rows had a category that was cut.
    """

    name: str
    values: pl.Series
    counts: pl.Series | None = None
    nulls: int | None = None
    infrequent: int | None = None
    _ids: pl.Series = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Number the categories."""
        ids = pl.int_range(FIRST, FIRST + len(self.values), eager=True).alias("id")
        object.__setattr__(self, "_ids", ids)

    @property
    def cardinality(self) -> int:
        """Ids are below this: padding, null, out of vocabulary and the categories."""
        return FIRST + len(self.values)

    @classmethod
    def learn(cls, name: str, counted: pl.DataFrame, *, threshold: int, limit: int) -> "Vocabulary":
        """Choose and order the categories.

        Args:
            name: the column or group.
            counted: `value` and `count` (int64), each value once, null among them.
            threshold: categories with a smaller count are cut.
            limit: at most this many ids in all; 0 is no limit.

        Returns:
            Categories by descending count, ties by ascending value.
        """
        null = counted.filter(pl.col("value").is_null())["count"].sum()
        known = counted.filter(pl.col("value").is_not_null())
        # A total order: the result does not depend on the order in which groups arrive.
        ordered = known.sort("count", "value", descending=[True, False])
        kept = ordered.filter(pl.col("count") >= threshold)
        if limit:
            kept = kept.head(limit - FIRST)
        return cls(
            name=name,
            values=kept["value"],
            counts=kept["count"],
            nulls=int(null),
            infrequent=int(known["count"].sum()) - int(kept["count"].sum()),
        )

    def canonical(self, column: pl.Expr) -> pl.Expr:
        """Give the column's leaves as keys of this vocabulary: its dtype, NaN null, -0.0 zero."""
        return canonical_key(column, self.values.dtype)

    def lookup(self, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Give the ids of a column of leaves, as one expression."""
        # Learned from nulls alone: the keys have no dtype, and anything else is unknown.
        key = column if self.values.dtype == pl.Null else self.canonical(column)
        if len(self.values) == 0:
            return pl.when(key.is_null()).then(NULL).otherwise(OOV).cast(dtype)
        found = key.replace_strict(self.values, self._ids, default=OOV, return_dtype=pl.Int64)
        return pl.when(key.is_null()).then(NULL).otherwise(found).cast(dtype)

    def encode(
        self, frame: pl.LazyFrame, column: str, *, is_list: bool, dtype: pl.DataType
    ) -> pl.LazyFrame:
        """Replace a column of `frame` by its ids; the rows keep their order.

        Args:
            frame: has `column`.
            column: scalars, or lists whose leaves are encoded. A null or empty list becomes an
                empty list, a null inside a list the id of null.
            is_list: whether it holds lists.
            dtype: of the ids.
        """
        if is_list:
            ids = pl.col(column).list.eval(self.lookup(pl.element(), dtype))
            empty = pl.lit([], dtype=pl.List(dtype))
            return frame.with_columns(ids.cast(pl.List(dtype)).fill_null(empty).alias(column))
        if len(self.values) <= JOIN_ABOVE:
            return frame.with_columns(self.lookup(pl.col(column), dtype).alias(column))
        key, ids = "\x1fkey", pl.col("\x1fid")
        table = pl.DataFrame({key: self.values, "\x1fid": self._ids}).lazy()
        joined = frame.with_columns(self.canonical(pl.col(column)).alias(column)).join(
            table, left_on=column, right_on=key, how="left", maintain_order="left"
        )
        encoded = pl.when(pl.col(column).is_null()).then(NULL).otherwise(ids.fill_null(OOV))
        return joined.with_columns(encoded.cast(dtype).alias(column)).drop("\x1fid")

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give NVTabular's two tables of a vocabulary.

        `unique.<name>`: the column `<name>`, and `<name>_size` with the counts. `meta.<name>`:
        kind, offset, num_indices, num_observed of pad, null, oov and unique. Names are
        percent-encoded, because a column may be called anything.
        """
        # "value" and "count" could not stand beside each other if the column were called "count".
        unique = self.values.alias(self.name).to_frame()
        if self.counts is not None:
            unique = unique.with_columns(self.counts.alias(f"{self.name}_size"))
        kept = None if self.counts is None else int(self.counts.sum())
        meta: dict[str, Any] = {
            "kind": ["pad", "null", "oov", "unique"],
            "offset": [0, NULL, OOV, FIRST],
            "num_indices": [1, 1, 1, len(self.values)],
            "num_observed": [0 if kept is not None else None, self.nulls, self.infrequent, kept],
        }
        schema = {"kind": pl.String, "offset": pl.Int64, "num_indices": pl.Int64}
        tables = pl.DataFrame(meta, schema={**schema, "num_observed": pl.Int64})
        name = quote(self.name, safe=" ")
        return {f"unique.{name}": unique, f"meta.{name}": tables}

    @classmethod
    def restore(cls, name: str, artifacts: dict[str, pl.DataFrame]) -> "Vocabulary":
        """Rebuild a vocabulary from `artifacts`.

        Raises:
            ArtifactCorruptError: a table is missing or is not what `artifacts` gives.
        """
        file = quote(name, safe=" ")
        unique, meta = artifacts.get(f"unique.{file}"), artifacts.get(f"meta.{file}")
        if unique is None or meta is None:
            raise ArtifactCorruptError(f"Categorify: the vocabulary {name!r} has no table")
        if name not in unique.columns or meta.height != 4 or "num_observed" not in meta.columns:
            raise ArtifactCorruptError(f"Categorify: the tables of {name!r} lack a column or row")
        values = unique[name]
        if values.null_count() or values.n_unique() != len(values):
            raise ArtifactCorruptError(f"Categorify: categories of {name!r} repeat or are null")
        observed = meta["num_observed"].to_list()
        return cls(
            name=name,
            values=values.alias("value"),
            counts=unique[f"{name}_size"].alias("count") if unique.width > 1 else None,
            nulls=observed[1],
            infrequent=observed[2],
        )
