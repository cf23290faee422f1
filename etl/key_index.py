"""Finding values among many known ones, row by row and without a plan of its own.

`replace_strict` builds its hash table again in every call and, in Polars 2.1's streaming engine, reads
the whole column into memory first; a join builds it in every plan. An index is built once, and its
look-up is elementwise: rows stream, keep their order, and a plan over one row costs no table.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["KeyIndex"]

Words: TypeAlias = npt.NDArray[np.int64]
Positions: TypeAlias = npt.NDArray[np.int32]

#: Positions by value minus the smallest, where that takes at most this many entries a value.
DENSE = 8
#: Of Fibonacci hashing: 2**64 divided by the golden ratio, odd.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class KeyIndex:
    """The positions of distinct values in a Series.

    Text (and what is looked up as text) goes through a Polars Enum, whose categories are a hash
    table; everything else is a 64-bit word, found in a table of positions or a hash table of NumPy
    arrays.

    >>> index = KeyIndex(pl.Series([30, 10, 10**12]))
    >>> frame = pl.DataFrame({"x": [10, 7, 10**12, 30]})
    >>> frame.select(index.position(pl.col("x"))).to_series().to_list()
    [1, None, 2, 0]
    """

    def __init__(self, values: pl.Series) -> None:
        """Build the tables.

        Args:
            values: distinct, without nulls, fewer than 2**31.
        """
        self.dtype = values.dtype
        if self._is_text:
            enum = pl.Enum(_only(pl.lit(values), self._text))
            self._enum = enum
            self._codes: dict[bytes, pl.Expr] = {}
        elif self.dtype != pl.Null:
            self._fill(_only(pl.lit(values), self._word).to_numpy())

    @property
    def _is_text(self) -> bool:
        return self.dtype in (pl.String, pl.Binary) or self.dtype.is_decimal()

    def _text(self, key: pl.Expr) -> pl.Expr:
        if self.dtype == pl.Binary:
            return key.bin.encode("hex")
        return key.cast(pl.String)

    def _word(self, key: pl.Expr) -> pl.Expr:
        """Give keys as Int64, distinct ones distinct; 0 for null."""
        if self.dtype.is_float():
            wide = key.cast(pl.Float64).fill_null(0.0)
            return wide.map_batches(
                lambda s: pl.Series(s.name, s.to_numpy().view(np.int64)),
                return_dtype=pl.Int64,
                is_elementwise=True,
            )
        if self.dtype == pl.UInt64:
            return key.fill_null(0).reinterpret(signed=True)
        return key.to_physical().cast(pl.Int64).fill_null(0)

    def position(self, key: pl.Expr) -> pl.Expr:
        """Give the position of every key as Int64, null where it has none; of null, anything.

        Args:
            key: as `canonical_key` gives it, with the dtype of the values.
        """
        if self.dtype == pl.Null:
            return pl.when(key.is_null()).then(pl.lit(None, dtype=pl.Int64))
        if self._is_text:
            # Expressions are kept: a cast that is written anew hands all categories to the engine
            # and hashes them again, 0.3 s for 300 k.
            known = key.meta.serialize()
            if known not in self._codes:
                codes = self._text(key).cast(self._enum, strict=False).to_physical()
                self._codes[known] = codes.cast(pl.Int64)
            return self._codes[known]
        return self._word(key).map_batches(
            self._find_words, return_dtype=pl.Int64, is_elementwise=True
        )

    def _find_words(self, words: pl.Series) -> pl.Series:
        found = self._find(words.to_numpy())
        positions = pl.Series(words.name, found.astype(np.int64))
        if not len(found) or found.min() >= 0:
            return positions
        return pl.select(pl.when(positions >= 0).then(positions).alias(words.name)).to_series()

    def _fill(self, words: Words) -> None:
        n = len(words)
        self._lowest = int(words.min()) if n else 0
        span = int(words.max()) - self._lowest + 1 if n else 0
        self._dense = span <= DENSE * n + 1024
        order = np.arange(n, dtype=np.int32)
        if self._dense:
            # One more entry, for everything outside.
            self._positions: Positions = np.full(span + 1, -1, dtype=np.int32)
            self._positions[words - self._lowest] = order
            return
        bits = max(int(2 * n - 1).bit_length(), 4)
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._positions = np.full(1 << bits, -1, dtype=np.int32)
        self._words: Words = np.zeros(1 << bits, dtype=np.int64)
        slot = self._slot(words)
        while len(order):
            free = self._positions[slot] < 0
            self._positions[slot[free]] = order[free]  # of several for one slot, one stays
            placed = self._positions[slot] == order
            self._words[slot[placed]] = words[order[placed]]
            order, slot = order[~placed], slot[~placed] + 1 & self._mask

    def _slot(self, words: Words) -> npt.NDArray[np.int64]:
        return (words.view(np.uint64) * _FACTOR >> self._shift).view(np.int64)

    def _find(self, words: Words) -> Positions:
        if self._dense:
            offset = words.view(np.uint64) - np.uint64(self._lowest % (1 << 64))
            outside = np.uint64(len(self._positions) - 1)
            found: Positions = self._positions[np.minimum(offset, outside).view(np.int64)]
            return found
        slot = self._slot(words)
        found = self._positions[slot]
        # Linear probing, for the rows whose slot holds another word; half of the slots are free.
        rows = np.flatnonzero((found >= 0) & (self._words[slot] != words))
        while len(rows):
            slot_of = slot[rows] = slot[rows] + 1 & self._mask
            found[rows] = self._positions[slot_of]
            rows = rows[(found[rows] >= 0) & (self._words[slot_of] != words[rows])]
        return found


def _only(values: pl.Expr, made: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    return pl.select(made(values).alias("key")).to_series()
