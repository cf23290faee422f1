"""Finding rows of several keys among many known ones."""

import polars as pl

from emberline.etl.key_index import KeyIndex

__all__ = ["CombinationIndex"]


class CombinationIndex:
    """The positions of distinct rows in a frame, null being a value like others.

    Each column's values have an index of their own. From the left, the position among the known
    beginnings and the position of the next column's value make one number, and the known numbers an
    index again: they stay below the square of the number of rows, however many columns there are.

    >>> index = CombinationIndex(pl.DataFrame({"a": ["x", "x", None], "b": [1, 2, 2]}))
    >>> frame = pl.DataFrame({"a": ["x", None, "y", None], "b": [2, 1, 1, 2]})
    >>> frame.select(index.position([pl.col("a"), pl.col("b")])).to_series().to_list()
    [1, None, None, 2]
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        """Build an index for every column and every beginning.

        Args:
            rows: distinct, at least one column.
        """
        self._columns = [
            KeyIndex(series.drop_nulls().unique(maintain_order=True)) for series in rows
        ]
        self._sizes = [series.drop_nulls().n_unique() for series in rows]
        self._beginnings: list[KeyIndex] = []
        keys = [pl.col(name) for name in rows.columns]
        for width in range(1, rows.width + 1):
            codes = rows.select(self._code(keys[:width])).to_series()
            self._beginnings.append(KeyIndex(codes.unique(maintain_order=True)))

    def position(self, keys: list[pl.Expr]) -> pl.Expr:
        """Give the position of every row as Int64, null where it has none.

        Args:
            keys: one for each column, as `canonical_key` gives it, with the column's dtype.
        """
        return self._beginnings[-1].position(self._code(keys))

    def _code(self, keys: list[pl.Expr]) -> pl.Expr:
        """Give one number for the keys of all columns but the last and the last one's.

        0 stands for what is unknown, so that no number with it is among the known ones. Every
        look-up is used once: the engine would run it again for each use.
        """
        last = len(keys) - 1
        index, size = self._columns[last], self._sizes[last]
        own = (index.position(keys[last]) + 1).fill_null(0)
        own = pl.when(keys[last].is_null()).then(size + 1).otherwise(own)
        if last == 0:
            return own
        before = (self._beginnings[last - 1].position(self._code(keys[:last])) + 1).fill_null(0)
        return before * (size + 2) + own
