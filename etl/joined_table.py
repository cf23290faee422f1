"""A table whose columns are joined to rows by distinct keys, found by an index."""

from collections.abc import Sequence

import polars as pl

from emberline.etl.combination_index import CombinationIndex
from emberline.etl.key_index import KeyIndex

__all__ = ["JoinedTable", "gathered", "with_null_row"]


class JoinedTable:
    """Columns by position: a row has the position of its keys, the columns have the values.

    >>> rows = with_null_row(pl.DataFrame({"movie": [7, 9], "year": [1995, 2001]}))
    >>> table = JoinedTable(["movie"], rows.select("movie"), rows.select("year"))
    >>> frame = pl.DataFrame({"movie": [9, 8, 7]})
    >>> frame = frame.with_columns(table.position(["movie"]).alias("row"))
    >>> frame.select("row", year=gathered("row", table.columns["year"])).rows()
    [(1, 2001), (2, None), (0, 1995)]

    Attributes:
        on: the columns of the rows that are looked up.
        dtypes: of these.
        columns: the values, and at the last position, that of rows without a match, null.
    """

    def __init__(self, on: Sequence[str], keys: pl.DataFrame, columns: pl.DataFrame) -> None:
        """Build the index.

        Args:
            on: see the class; null matches nothing.
            keys: a column for each of them in its dtype, no float and no list. Rows with a null in
                them match nothing; the others are distinct. The last one is null.
            columns: what is joined, as many rows.
        """
        known = keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        # All but the last, unless the table has keys that nothing can match.
        if known.sum() < keys.height - 1:
            known[-1] = True
            keys, columns = keys.filter(known), columns.filter(known)
        self.columns = columns.rechunk()  # a gather of lists from chunks would join them each time
        self.on, self.dtypes = list(on), keys.dtypes
        distinct = keys.head(keys.height - 1)
        self._index: KeyIndex | CombinationIndex
        if len(self.on) == 1:
            self._index = KeyIndex(distinct.to_series())
        else:
            self._index = CombinationIndex(distinct)

    def position(self, columns: Sequence[str]) -> pl.Expr:
        """Give the position of every row's keys, uint32.

        Args:
            columns: one for each of `on`: what it is called here.
        """
        keys, last = [pl.col(name) for name in columns], self.columns.height - 1
        if isinstance(self._index, KeyIndex):
            found = self._index.numbers(keys[0], first=0, unknown=last, null=last)
        else:
            known = pl.all_horizontal(key.is_not_null() for key in keys)
            found = pl.when(known).then(self._index.position(keys)).fill_null(last)
        return found.cast(pl.UInt32)


def with_null_row(table: pl.DataFrame) -> pl.DataFrame:
    """Give the table with a row of nulls behind it."""
    return pl.concat([table, table.clear(1)], rechunk=True)


def gathered(position: str, values: pl.Series) -> pl.Expr:
    """Give the values at the positions in a column."""
    return pl.col(position).map_batches(
        values.gather, return_dtype=values.dtype, is_elementwise=True
    )
