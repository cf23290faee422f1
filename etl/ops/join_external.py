"""JoinExternal: columns of a table that fits in memory."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import polars as pl

from emberline.errors import ArtifactCorruptError, DataError, nearest
from emberline.etl import vocabulary
from emberline.etl.dataset import Dataset
from emberline.etl.dtypes import canonical, column_of, dtype_of
from emberline.etl.errors import ColumnNotFoundError, ColumnTypeError
from emberline.etl.joined_table import JoinedTable, with_null_row
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import Schema
from emberline.etl.selection import Selection

__all__ = ["JoinExternal"]

#: Begins the names of the table's keys in a plan; no user column starts like this.
_KEY = "\x1fkey"


@register_operator
class JoinExternal(Operator):
    """Join the columns of an external table to every row; the row order is kept.

    The table is held in memory and saved with the workflow. Null keys match nothing. Keys that
    repeat in the table repeat the rows, as in any join; `drop_duplicates_ext=True` drops repeated
    rows of the table before. Key columns of the table that are called otherwise than those of the
    data are part of the output like its other columns.

    >>> from emberline.etl import Workflow, ops
    >>> movies = pl.DataFrame({"movie": [1, 2], "year": [1995, 2001]})
    >>> node = ["movie", "user"] >> ops.JoinExternal(movies, on="movie")
    >>> Workflow(node).fit_transform(pl.DataFrame({"movie": [2, 3], "user": [7, 8]})).rows()
    [(2, 7, 2001), (3, 8, None)]
    """

    def __init__(
        self,
        df_ext: Any,
        on: str | Sequence[str],
        how: Literal["left", "inner"] = "left",
        on_ext: str | Sequence[str] | None = None,
        columns_ext: Sequence[str] | None = None,
        drop_duplicates_ext: bool | None = False,
        kind_ext: Any = None,
        cache: str = "host",
    ) -> None:
        """Read the table.

        Args:
            df_ext: anything that `Dataset` takes, or a `Dataset`.
            on: the key columns of the data; they must be selected.
            how: "left" keeps rows without a match (nulls); "inner" drops them.
            on_ext: the key columns of the table, by default those of `on`.
            columns_ext: the columns to join; by default all. Keys need not be named.
            drop_duplicates_ext: drop rows of the table (its keys and joined columns) that repeat.
            kind_ext: accepted as in NVTabular, where it says what `df_ext` is; that is found out.
            cache: accepted as in NVTabular ("host", "device" or "disk"); no effect.

        Raises:
            DataError: an unknown `how`, or not as many keys on both sides.
            ColumnNotFoundError: a key or column that the table does not have.
        """
        if how not in ("left", "inner"):
            raise DataError(f"JoinExternal: how must be 'left' or 'inner', got {how!r}")
        self.on = [on] if isinstance(on, str) else list(on)
        self.how = how
        self.on_ext = (
            self.on if on_ext is None else [on_ext] if isinstance(on_ext, str) else list(on_ext)
        )
        if not self.on or len(self.on) != len(self.on_ext):
            raise DataError(
                f"JoinExternal: on={self.on} and on_ext={self.on_ext} must name the same number of "
                "key columns, at least one"
            )
        data = df_ext if isinstance(df_ext, Dataset) else Dataset(df_ext)
        for name in [*self.on_ext, *(columns_ext or ())]:
            if name not in data.schema:
                raise ColumnNotFoundError(
                    f"JoinExternal: the table has no column {name!r}"
                    f"{nearest(name, data.schema.names)}"
                )
        chosen = data.schema.names if columns_ext is None else list(columns_ext)
        shared = {
            theirs for ours, theirs in zip(self.on, self.on_ext, strict=True) if ours == theirs
        }
        self.columns_ext = [n for n in dict.fromkeys(chosen) if n not in shared]
        self.kind_ext, self.cache = kind_ext, cache
        self.drop_duplicates_ext = bool(drop_duplicates_ext)
        names = list(dict.fromkeys([*self.on_ext, *self.columns_ext]))
        table = data.to_lazy().select(names)
        table = table.cast({n: canonical(d) for n, d in table.collect_schema().items()})
        if self.drop_duplicates_ext:
            table = table.unique(keep="first", maintain_order=True)
        read = Dataset._derived(table, data.schema.select(names), data.files).to_polars()
        self._with_null = with_null_row(read)
        self._table = self._with_null.head(read.height)
        self._joined: dict[tuple[pl.DataType, ...], JoinedTable] = {}
        self._ext_schema = data.schema.select(names)
        # A left join on distinct keys is the one join that leaves rows as they are.
        self._distinct = self._table.select(self.on_ext).is_duplicated().any() is False

    @property
    def keeps_rows(self) -> bool:
        """Whether every row stays, once."""
        return self.how == "left" and self._distinct

    def check(self, selection: Selection) -> None:
        """Refuse missing keys, keys of another kind, and names that meet."""
        selection.require(self.on, where="JoinExternal")
        for name in self.columns_ext:
            if name in selection.schema:
                raise DataError(
                    f"JoinExternal: column {name!r} is in the data and in the table; leave it out "
                    "with columns_ext or rename one of them before"
                )
        for ours, theirs in zip(self.on, self.on_ext, strict=True):
            left, right = dtype_of(selection.schema[ours]), self._table.schema[theirs]
            same = left == right or (left.is_integer() and right.is_integer())
            if not same and pl.Null() not in (left, right):
                raise ColumnTypeError(
                    f"JoinExternal: key {ours!r} of the data has dtype {left}, key {theirs!r} of "
                    f"the table {right}; cast one of them"
                )

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the inputs, then the table's columns; every output needs the keys."""
        mapping = {n: tuple(dict.fromkeys([n, *self.on])) for n in selection.names}
        return mapping | {name: tuple(self.on) for name in self.columns_ext}

    def output_schema(self, selection: Selection) -> Schema:
        """Give the inputs' schema, then the table's with its tags."""
        added = []
        for name in self.columns_ext:
            source = self._ext_schema[name]
            made = column_of(name, self._table.schema[name])
            added.append(
                made.with_tags(source.tags).with_properties(
                    {**source.properties, **made.properties}
                )
            )
        return Schema([*selection.schema, *added])

    def _keys(self, dtypes: Sequence[pl.DataType]) -> list[pl.Expr]:
        """Give the table's keys, called after `_KEY` and a number.

        They are read in the data's dtypes; one that does not fit there matches no row anyway.
        """
        return [
            pl.col(theirs).cast(dtype, strict=False).alias(f"{_KEY}{i}")
            for i, (theirs, dtype) in enumerate(zip(self.on_ext, dtypes, strict=True))
        ]

    def joined_table(self, selection: Selection) -> JoinedTable | None:
        """Give the table where keys are distinct, and of a kind that an index finds."""
        dtypes = tuple(dtype_of(selection.schema[name]) for name in self.on)
        # A join holds NaN equal to NaN, which no index does.
        odd = any(dtype.is_float() or dtype.is_nested() for dtype in dtypes)
        if not self.keeps_rows or odd or vocabulary.LOOKUP == "join":
            return None
        if dtypes not in self._joined:
            keys = self._with_null.select(self._keys(dtypes))
            columns = self._with_null.select(self.columns_ext)
            self._joined[dtypes] = JoinedTable(self.on, keys, columns)
        return self._joined[dtypes]

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Join the table."""
        keys = self._keys([dtype_of(selection.schema[name]) for name in self.on])
        table = self._table.lazy().select(*keys, *self.columns_ext)
        return frame.join(
            table,
            left_on=self.on,
            right_on=[f"{_KEY}{i}" for i in range(len(keys))],
            how=self.how,
            maintain_order="left",
        )

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the keys and columns; the table is an artifact."""
        names = ("on", "how", "on_ext", "columns_ext", "cache")
        return {name: getattr(self, name) for name in names} | {
            "schema": self._ext_schema.to_dict()
        }

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give the table."""
        return {"external": self._table}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator with its table."""
        if "external" not in artifacts or "schema" not in arguments:
            raise ArtifactCorruptError("JoinExternal: the external table or its schema is missing")
        rest = {name: value for name, value in arguments.items() if name != "schema"}
        table = Dataset(artifacts["external"], schema=Schema.from_dict(arguments["schema"]))
        return super().restore({**rest, "df_ext": table}, {})
