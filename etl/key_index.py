"""Finding values among many known ones, row by row and without a plan of its own.

`replace_strict` builds its hash table again in every call and, in Polars 2.1's streaming engine, reads
the whole column into memory first; a join and a cast to an Enum build it in every plan. An index is
built once, and its look-up is elementwise: rows stream, keep their order, and a plan over one row costs
no table.
"""

from collections.abc import Callable

import polars as pl

from emberline.etl import _native
from emberline.etl.native_keys import key_word

__all__ = ["KeyIndex"]


class KeyIndex:
    """The positions of distinct values in a Series: a hash table that reads the engine's columns.

    >>> index = KeyIndex(pl.Series([30, 10, 10**12]))
    >>> frame = pl.DataFrame({"x": [10, 7, 10**12, 30]})
    >>> frame.select(index.position(pl.col("x"))).to_series().to_list()
    [1, None, 2, 0]
    >>> frame.select(index.numbers(pl.col("x"), first=5, unknown=0, null=1)).to_series().to_list()
    [6, 0, 7, 5]
    """

    def __init__(self, values: pl.Series) -> None:
        """Build the table.

        Args:
            values: distinct, without nulls, fewer than 2**32.
        """
        self.dtype, self._values = values.dtype, values
        if self.dtype != pl.Null:
            words = pl.select(key_word(pl.lit(values), self.dtype)).to_series()
            self._index = _native.Index(words.rechunk())

    def __reduce__(self) -> tuple[type["KeyIndex"], tuple[pl.Series]]:
        """Copy and pickle the values: a table of native code is built again from them."""
        return KeyIndex, (self._values,)

    def position(self, key: pl.Expr) -> pl.Expr:
        """Give the position of every key as Int64, null where it has none, and of null.

        Args:
            key: as `canonical_key` gives it, with the dtype of the values.
        """
        if self.dtype == pl.Null:
            return pl.when(key.is_null()).then(pl.lit(None, dtype=pl.Int64))
        return self._looked_up(
            key, lambda words: _with_nulls(self._find(words, first=0, unknown=-1, null=-1))
        )

    def numbers(self, key: pl.Expr, *, first: int, unknown: int, null: int) -> pl.Expr:
        """Give the position of every key plus `first`, Int64.

        Args:
            key: as `canonical_key` gives it, with the dtype of the values.
            first: the number of the first value.
            unknown: the number of keys that are not among the values.
            null: the number of null.
        """
        if self.dtype == pl.Null:
            return pl.when(key.is_null()).then(pl.lit(null, pl.Int64)).otherwise(unknown)

        return self._looked_up(
            key, lambda words: self._find(words, first=first, unknown=unknown, null=null)
        )

    def _looked_up(self, key: pl.Expr, find: Callable[[pl.Series], pl.Series]) -> pl.Expr:
        words = key_word(key, self.dtype)
        return words.map_batches(find, return_dtype=pl.Int64, is_elementwise=True)

    def _find(self, words: pl.Series, *, first: int, unknown: int, null: int) -> pl.Series:
        found = self._index.find(words.rechunk(), first=first, unknown=unknown, null=null)
        return pl.Series(words.name, found)


def _with_nulls(positions: pl.Series) -> pl.Series:
    """Give positions with null for -1."""
    # Mostly there is none, and then the column needs no second pass. (To mypy, `min` of a column
    # might be anything; of these int64 it is an int.)
    if not len(positions) or positions.min() >= 0:  # type: ignore[operator]
        return positions
    return pl.select(pl.when(positions >= 0).then(positions).alias(positions.name)).to_series()
