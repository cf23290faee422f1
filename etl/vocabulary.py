"""The categories of one Categorify vocabulary, and how columns are encoded with them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from emberline.etl.combination_index import CombinationIndex
from emberline.etl.hashing import bucket_of, stable_hash, with_combined_hash, with_hashes
from emberline.etl.key_index import KeyIndex
from emberline.etl.keys import canonical_key, shared_key_dtype
from emberline.etl.native_keys import by_count

__all__ = ["NULL", "OOV", "Vocabulary", "key_columns"]

#: Ids. 0 is padding and never produced; OOV is the first bucket of unknown values.
NULL = 1
OOV = 2

#: How ids are looked up. "index" streams row by row and keeps its tables between plans; on the CPU
#: it is five to twenty times as fast as "join", which consists of expressions that every engine of
#: Polars has. Both give the same ids. Leaves of lists always go by the index.
LOOKUP: Literal["index", "join"] = "index"

#: Names of the columns that a plan has for a while; no user column starts like this.
_POSITION, _HASH, _KEY, _FITS = "\x1fposition", "\x1fhash", "\x1fkey", "\x1ffits"


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
        seen = rows.clear()
        if known.height:
            seen = known.join(rows, on=keys, how="left", nulls_equal=True, maintain_order="left")
            seen = seen.with_columns(pl.col("count").fill_null(0))
            rows = rows.join(known, on=keys, how="anti", nulls_equal=True)
        cut = rows.filter(pl.col("count") < threshold)
        kept = by_count(rows.filter(pl.col("count") >= threshold))
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

    @functools.cached_property
    def _index(self) -> CombinationIndex:
        return CombinationIndex(self.keys)

    @functools.cached_property
    def _leaves(self) -> KeyIndex:
        return KeyIndex(self.keys.to_series(0))

    def encode(
        self, frame: pl.LazyFrame, columns: Sequence[str], out: str, *, dtype: pl.DataType
    ) -> pl.LazyFrame:
        """Add the ids of one or more columns of scalars.

        Args:
            frame: has `columns`; its rows keep their order.
            columns: one for each column of the keys.
            out: the column to add or replace.
            dtype: of the ids.
        """
        keys = [self._key(pl.col(name), i) for i, name in enumerate(columns)]
        hashes = [f"{_HASH}{i}" for i in range(len(columns))]
        if self.buckets > 1:
            parts = zip(hashes, columns, self.keys.dtypes, strict=True)
            frame = with_hashes(frame, {h: (name, d) for h, name, d in parts})
            frame = with_combined_hash(frame, _HASH, hashes)
        if LOOKUP == "join":
            frame = self._joined(frame, keys)
            ids = self._ids(keys, pl.col(_POSITION), pl.col(_HASH))
        elif len(keys) == 1:
            ids = self._found(keys[0], pl.col(_HASH))
        else:
            ids = self._ids(keys, self._index.position(keys), pl.col(_HASH))
        ids = ids.cast(dtype)
        return frame.with_columns(ids.alias(out)).drop(
            *([_HASH, *hashes] if self.buckets > 1 else []),
            *([_POSITION] if LOOKUP == "join" else []),
        )

    def encode_lists(self, frame: pl.LazyFrame, column: str, *, dtype: pl.DataType) -> pl.LazyFrame:
        """Replace the leaves of a column of lists by their ids.

        Args:
            frame: has `column`. A null or empty list becomes an empty list, a null inside a list
                the id of null.
            column: the column.
            dtype: of the ids.
        """
        key = self._key(pl.element(), 0)
        hashed = stable_hash(pl.element(), self.keys.dtypes[0])
        ids = self._found(key, hashed).cast(dtype)
        rows = pl.col(column).list.eval(ids).cast(pl.List(dtype))
        return frame.with_columns(rows.fill_null(pl.lit([], dtype=pl.List(dtype))).alias(column))

    def _key(self, column: pl.Expr, number: int) -> pl.Expr:
        dtype = self.keys.dtypes[number]
        # Learned from nulls alone: the keys have no dtype, and anything else is unknown.
        return column if dtype == pl.Null else canonical_key(column, dtype)

    def _found(self, key: pl.Expr, hashed: pl.Expr) -> pl.Expr:
        """Give the ids of single keys by the index."""
        if self.buckets > 1:
            return self._ids([key], self._leaves.position(key), hashed)
        return self._leaves.numbers(key, first=self.first, unknown=OOV, null=NULL)

    def _ids(self, keys: list[pl.Expr], position: pl.Expr, hashed: pl.Expr) -> pl.Expr:
        unknown = OOV + bucket_of(hashed, self.buckets) if self.buckets > 1 else pl.lit(OOV)
        null = pl.all_horizontal(key.is_null() for key in keys)
        return pl.when(null).then(NULL).otherwise(pl.coalesce(position + self.first, unknown))

    def _joined(self, frame: pl.LazyFrame, keys: list[pl.Expr]) -> pl.LazyFrame:
        """Add the positions of the keys, null where they have none, by a join."""
        # Keys without a dtype are null, or else unknown.
        typed = [i for i, dtype in enumerate(self.keys.dtypes) if dtype != pl.Null]
        fits = pl.all_horizontal(
            pl.lit(True), *(key.is_null() for i, key in enumerate(keys) if i not in typed)
        )
        if not typed:
            return frame.with_columns(pl.lit(None, dtype=pl.Int64).alias(_POSITION))
        names = [f"{_KEY}{i}" for i in typed]
        table = self.keys.select(
            pl.col(self.keys.columns[i]).alias(name) for i, name in zip(typed, names, strict=True)
        ).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_POSITION))
        made = [keys[i].alias(name) for i, name in zip(typed, names, strict=True)]
        frame = frame.with_columns(*made, fits.alias(_FITS)).join(
            table.lazy(), on=names, how="left", nulls_equal=True, maintain_order="left"
        )
        found = pl.when(_FITS).then(pl.col(_POSITION))
        return frame.with_columns(found.alias(_POSITION)).drop(*names, _FITS)
