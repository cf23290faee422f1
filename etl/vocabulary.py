"""The categories of one Categorify vocabulary, and how columns are encoded with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from emberline.etl.hashing import bucket_of, stable_hash, with_combined_hash, with_hashes
from emberline.etl.keys import canonical_key, shared_key_dtype

__all__ = ["NULL", "OOV", "Vocabulary", "key_columns"]

#: Ids. 0 is padding and never produced; OOV is the first bucket of unknown values.
NULL = 1
OOV = 2

#: Above this many categories a column is joined with the vocabulary; below, `replace_strict`
#: looks ids up inside the expression. Both give the same ids. The expression builds its hash
#: table again for every morsel of rows, the join once.
JOIN_ABOVE = 65_536

#: Names of the columns that `encode` adds to a frame for a while; no user column starts like this.
_ID, _HASH, _KEY = "\x1fid", "\x1fhash", "\x1fkey"


def key_columns(width: int) -> list[str]:
    """Name the columns of keys of a vocabulary over `width` columns: "value0", "value1", ..."""
    return [f"value{i}" for i in range(width)]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Categories in the order of their ids: row i has id `first + i`.

    Attributes:
        name: the column, the joint group's name, or the combination's.
        labels: what the columns of `keys` are called in files: the name, or the members of a
            combination.
        keys: the categories, distinct; see `key_columns`. In a combination some, not all, of a
            row may be null.
        first: the id of the first category.
        buckets: unknown values get the ids `OOV` to `OOV + buckets - 1`, by hash.
        counts: how often each was seen, int64; None for a vocabulary that was given.
        nulls: how many nulls were seen.
        cut: the categories that were seen but got no id, with `count`; None where they are not
            known.
        infrequent: how many rows had one of these.
        given: how many of the categories were given, before any that were learned.
    """

    name: str
    labels: tuple[str, ...]
    keys: pl.DataFrame
    first: int
    buckets: int = 1
    counts: pl.Series | None = None
    nulls: int | None = None
    cut: pl.DataFrame | None = None
    infrequent: int | None = None
    given: int = 0
    _ids: pl.Series = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Number the categories."""
        ids = pl.int_range(self.first, self.end, eager=True).alias(_ID)
        object.__setattr__(self, "_ids", ids)

    @property
    def end(self) -> int:
        """One more than the last id."""
        return self.first + self.keys.height

    @classmethod
    def learn(
        cls,
        name: str,
        labels: Sequence[str],
        counted: pl.DataFrame,
        *,
        threshold: int = 0,
        limit: int = 0,
        buckets: int = 1,
        known: pl.DataFrame | None = None,
        given: int = 0,
    ) -> "Vocabulary":
        """Choose and order the categories.

        Args:
            name: the column or group.
            labels: see the class.
            counted: the keys and `count` (int64), each key once, the null among them.
            threshold: categories with a smaller count are cut.
            limit: at most this many ids in all; 0 is no limit.
            buckets: for unknown values.
            known: categories that have ids already, in order: they stay, whatever their counts.
            given: see the class.

        Returns:
            The known categories, then the others by descending count, ties by ascending value.
        """
        keys, first = key_columns(len(labels)), OOV + buckets
        null = pl.all_horizontal(pl.col(keys).is_null())
        nulls = int(counted.filter(null)["count"].sum())
        rows = counted.filter(~null)
        if known is None:
            known = rows.select(keys).clear()
        # Different where a column held nulls alone before, or the given categories are wider.
        shared = {k: shared_key_dtype(known.schema[k], rows.schema[k]) for k in keys}
        casts = [pl.col(k).cast(dtype) for k, dtype in shared.items() if dtype is not None]
        known, rows = known.with_columns(casts), rows.with_columns(casts)
        seen = known.join(rows, on=keys, how="left", nulls_equal=True, maintain_order="left")
        seen = seen.with_columns(pl.col("count").fill_null(0))
        if known.height:
            rows = rows.join(known, on=keys, how="anti", nulls_equal=True)
        cut = rows.filter(pl.col("count") < threshold)
        # A total order: the result does not depend on the order in which groups arrive.
        down = [True, *[False] * len(keys)]
        kept = rows.filter(pl.col("count") >= threshold).sort("count", *keys, descending=down)
        if limit:
            room = max(limit - first - known.height, 0)
            kept, cut = kept.head(room), pl.concat([cut, kept.slice(room)])
        kept = pl.concat([seen.select(kept.columns), kept])
        return cls(
            name=name,
            labels=tuple(labels),
            keys=kept.select(keys),
            first=first,
            buckets=buckets,
            counts=kept["count"],
            nulls=nulls,
            cut=cut,
            infrequent=int(cut["count"].sum()),
            given=given,
        )

    def counted(self) -> pl.DataFrame | None:
        """Give back what was learned from: keys and `count`; None where that is not known."""
        if self.counts is None or self.cut is None:
            return None
        kept = self.keys.with_columns(self.counts.alias("count"))
        null = pl.DataFrame({**dict.fromkeys(self.keys.columns), "count": [self.nulls]})
        null = null.select(pl.col(n).cast(d) for n, d in kept.schema.items())
        null = null.filter(pl.col("count") > 0)
        return pl.concat([kept, self.cut.select(kept.columns), null])

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
        key_dtype = self.keys.dtypes[0]
        if is_list:
            leaf = self._key(pl.element())
            hashed = stable_hash(leaf, key_dtype) if self.buckets > 1 else None
            ids = pl.col(column).list.eval(self._lookup(leaf, dtype, hashed))
            empty = pl.lit([], dtype=pl.List(dtype))
            return frame.with_columns(ids.cast(pl.List(dtype)).fill_null(empty).alias(column))
        if self.keys.height > JOIN_ABOVE:
            return self.encode_combination(frame, [column], column, dtype=dtype)
        hashed = None
        if self.buckets > 1:
            frame, hashed = with_hashes(frame, {_HASH: (column, key_dtype)}), pl.col(_HASH)
        frame = frame.with_columns(
            self._lookup(self._key(pl.col(column)), dtype, hashed).alias(column)
        )
        return frame if hashed is None else frame.drop(_HASH)

    def _key(self, column: pl.Expr) -> pl.Expr:
        dtype = self.keys.dtypes[0]
        # Learned from nulls alone: the keys have no dtype, and anything else is unknown.
        return column if dtype == pl.Null else canonical_key(column, dtype)

    def _lookup(self, key: pl.Expr, dtype: pl.DataType, hashed: pl.Expr | None) -> pl.Expr:
        """Give the ids of keys as one expression."""
        unknown = pl.lit(OOV) if hashed is None else OOV + bucket_of(hashed, self.buckets)
        if self.keys.height == 0:
            return pl.when(key.is_null()).then(NULL).otherwise(unknown).cast(dtype)
        values = self.keys.to_series(0)
        if hashed is None:
            found = key.replace_strict(values, self._ids, default=OOV, return_dtype=pl.Int64)
        else:
            found = key.replace_strict(values, self._ids, default=None, return_dtype=pl.Int64)
            found = pl.coalesce(found, unknown)
        return pl.when(key.is_null()).then(NULL).otherwise(found).cast(dtype)

    def encode_combination(
        self, frame: pl.LazyFrame, columns: Sequence[str], out: str, *, dtype: pl.DataType
    ) -> pl.LazyFrame:
        """Add a column of ids by a join over one or more columns of scalars.

        Args:
            frame: has `columns`; its rows keep their order.
            columns: as many as the keys have.
            out: the column to add or replace.
            dtype: of the ids.
        """
        names = [f"{_KEY}{i}" for i in range(len(columns))]
        dtypes = self.keys.dtypes
        # Learned from nulls alone: every key is null there, and anything else is unknown.
        typed = [i for i, d in enumerate(dtypes) if d != pl.Null]
        untyped = [i for i, d in enumerate(dtypes) if d == pl.Null]
        frame = frame.with_columns(
            (canonical_key(pl.col(c), dtypes[i]) if i in typed else pl.col(c)).alias(names[i])
            for i, c in enumerate(columns)
        )
        if typed:
            on = [names[i] for i in typed]
            table = self.keys.select(
                pl.col(self.keys.columns[i]).alias(names[i]) for i in typed
            ).with_columns(self._ids)
            frame = frame.join(
                table.lazy(), on=on, how="left", nulls_equal=True, maintain_order="left"
            )
        else:
            frame = frame.with_columns(pl.lit(None, dtype=pl.Int64).alias(_ID))
        if untyped:
            known = pl.all_horizontal(pl.col(names[i]).is_null() for i in untyped)
            frame = frame.with_columns(pl.when(known).then(_ID).alias(_ID))
        unknown, hashes = pl.lit(OOV), [f"{_HASH}{i}" for i in range(len(columns))]
        if self.buckets > 1:
            parts = zip(hashes, names, dtypes, strict=True)
            frame = with_hashes(frame, {h: (n, d) for h, n, d in parts})
            frame = with_combined_hash(frame, _HASH, hashes)
            unknown = OOV + bucket_of(pl.col(_HASH), self.buckets)
        null = pl.all_horizontal(pl.col(names).is_null())
        ids = pl.when(null).then(NULL).otherwise(pl.coalesce(pl.col(_ID), unknown))
        added = [*names, _ID, *([_HASH, *hashes] if self.buckets > 1 else [])]
        return frame.with_columns(ids.cast(dtype).alias(out)).drop(added)
