"""Groupby: one row for every group."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.keys import canonical_key
from emberline.etl.leaves import require_numbers
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection

__all__ = ["Groupby"]

_KEPT = ("list", "first", "last", "min", "max")
_COUNTED = ("count", "nunique", "size")
_COMPUTED = ("sum", "mean", "median", "std", "var")
AGGREGATES = (*_KEPT, *_COUNTED, *_COMPUTED)
#: Of the columns that are no keys, where `aggs` names no column.
ALL = "__all__"


@register_operator
class Groupby(Operator):
    """Give one row for every group of keys, with lists and aggregates of the other columns.

    `["session", "item", "time"] >> Groupby("session", sort_cols="time", aggs={"item": "list"})` gives
    `session` and `item_list`. Groups are whole, whatever files and parts the rows lie in, and come
    in the order of their keys; rows with a null key belong to no group. Within a group the rows are
    in the order of `sort_cols`, rows that are equal there in the order of the data.

    Aggregates: "list", "first", "last", "min" and "max" in the dtype of the column; "count" (without
    null and NaN), "nunique" and "size" int32; "sum", "mean", "median", "std" and "var" (ddof 1)
    float32.

    The output has other rows than the data: it cannot be joined (`+`) with columns of the data. For
    statistics beside every row there is `JoinGroupby`.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"user": [2, 1, 2], "item": ["a", "b", "c"], "time": [9, 5, 3]})
    >>> node = ["user", "item", "time"] >> ops.Groupby("user", "time", {"item": ["list", "count"]})
    >>> Workflow(node).fit_transform(frame).rows()
    [(1, ['b'], 1), (2, ['c', 'a'], 2)]
    """

    makes_rows = True

    def __init__(
        self,
        groupby_cols: str | Sequence[str],
        sort_cols: str | Sequence[str] | None = None,
        aggs: Any = "list",
        name_sep: str = "_",
        ascending: bool | Sequence[bool] = True,
    ) -> None:
        """Remember keys, order and aggregates.

        Args:
            groupby_cols: the key column or columns; they must be selected.
            sort_cols: orders the rows of a group; they must be selected.
            aggs: an aggregate or a list of them for all other columns, or column -> aggregates.
            name_sep: between column and aggregate in the names of the outputs.
            ascending: the direction of `sort_cols`, or one for each.

        Raises:
            DataError: no key, an unknown aggregate, or not as many directions as `sort_cols`.
        """
        self.groupby_cols = [groupby_cols] if isinstance(groupby_cols, str) else list(groupby_cols)
        self.sort_cols = [sort_cols] if isinstance(sort_cols, str) else list(sort_cols or [])
        if not self.groupby_cols:
            raise DataError("Groupby: groupby_cols must name at least one column")
        given = aggs if isinstance(aggs, Mapping) else {ALL: aggs}
        self.aggs = {name: _aggregates(wanted) for name, wanted in given.items()}
        self.name_sep = name_sep
        self.ascending: Any = ascending if isinstance(ascending, bool) else list(ascending)
        if isinstance(self.ascending, list) and len(self.ascending) != len(self.sort_cols):
            raise DataError(
                f"Groupby: ascending={self.ascending} must have one entry for each of sort_cols, "
                f"{self.sort_cols}"
            )

    def _outputs(self, selection: Selection) -> dict[str, tuple[str, str]]:
        """Give output column -> (column, aggregate)."""
        aggs = self.aggs
        if ALL in aggs:
            aggs = {n: aggs[ALL] for n in selection.names if n not in self.groupby_cols}
        return {
            f"{name}{self.name_sep}{aggregate}": (name, aggregate)
            for name, wanted in aggs.items()
            for aggregate in wanted
        }

    def check(self, selection: Selection) -> None:
        """Refuse missing columns, lists as keys or in lists, and aggregates of what is no number."""
        named = [name for name in self.aggs if name != ALL]
        selection.require([*self.groupby_cols, *self.sort_cols, *named], where="Groupby")
        for name in [*self.groupby_cols, *self.sort_cols]:
            if selection.schema[name].is_list:
                raise ColumnTypeError(
                    f"Groupby: column {name!r} is a list; it cannot be a key or an order"
                )
        for name, aggregate in self._outputs(selection).values():
            column = selection.schema[name]
            if aggregate in _COMPUTED:
                require_numbers([column], where=f"Groupby ({aggregate})", lists=False)
            elif column.is_list and aggregate not in {"first", "last", "count", "size"}:
                raise ColumnTypeError(
                    f"Groupby: column {name!r} is a list; there is no {aggregate!r} of lists"
                )

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the keys, then the aggregates; every output needs keys and order."""
        needed = (*self.groupby_cols, *self.sort_cols)
        keys = {name: (name, *needed) for name in self.groupby_cols}
        outputs = self._outputs(selection).items()
        return keys | {output: (name, *needed) for output, (name, _) in outputs}

    def reduced(self, selection: Selection, outputs: Sequence[str]) -> "Groupby":
        """Give the same groups with the aggregates that are left."""
        aggs: dict[str, list[str]] = {}
        for output, (name, aggregate) in self._outputs(selection).items():
            if output in outputs:
                aggs.setdefault(name, []).append(aggregate)
        return Groupby(self.groupby_cols, self.sort_cols, aggs, self.name_sep, self.ascending)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Sort, then aggregate group by group."""
        keys = self.groupby_cols
        outputs = self._outputs(selection)
        names = dict.fromkeys([*keys, *self.sort_cols, *(name for name, _ in outputs.values())])
        columns = []
        for name in names:
            column = selection.schema[name]
            value = pl.col(name)
            if name in keys:
                value = canonical_key(value, parse_dtype(column.dtype, column=name)).alias(name)
            columns.append(value)
        directions = self.ascending
        if isinstance(directions, bool):
            directions = [directions] * len(self.sort_cols)
        order = [name for name in self.sort_cols if name not in keys]
        falling = [not d for n, d in zip(self.sort_cols, directions, strict=True) if n in order]
        rows = (
            frame.select(columns)
            .filter(pl.all_horizontal(pl.col(keys).is_not_null()))
            .sort(
                [*keys, *order],
                descending=[*(False for _ in keys), *falling],
                nulls_last=True,
                maintain_order=True,
            )
        )
        return rows.group_by(keys, maintain_order=True).agg(
            _aggregate(selection.schema[name], aggregate).alias(output)
            for output, (name, aggregate) in outputs.items()
        )

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Numbers about a column are not of its kind: they have no tags and no domain."""
        _, aggregate = self._outputs(selection).get(column.name, ("", "first"))
        if aggregate in _KEPT:
            if aggregate == "list":
                column = column.with_properties({"value_count": {"min": 0, "max": None}})
            return column
        return ColumnSchema(column.name, column.dtype)


def _aggregates(wanted: Any) -> list[str]:
    out = []
    for item in wanted if isinstance(wanted, (list, tuple, set)) else [wanted]:
        name = "list" if item is list else item
        if name not in AGGREGATES:
            raise DataError(f"Groupby: no aggregate {item!r}; known: {', '.join(AGGREGATES)}")
        out.append(name)
    return list(dict.fromkeys(out))


def _aggregate(column: ColumnSchema, aggregate: str) -> pl.Expr:
    value = pl.col(column.name)
    known = (
        value.fill_nan(None) if column.dtype.startswith("float") and not column.is_list else value
    )
    if aggregate == "size":
        return pl.len().cast(pl.Int32)
    kept = {
        "list": value,
        "first": value.first(),
        "last": value.last(),
        "min": known.min(),
        "max": known.max(),
    }
    if aggregate in kept:
        return kept[aggregate]
    if aggregate in {"count", "nunique"}:
        counted = known.count() if aggregate == "count" else known.drop_nulls().n_unique()
        return counted.cast(pl.Int32)
    known = known.cast(pl.Float64)
    computed = {
        "sum": known.sum(),
        "mean": known.mean(),
        "median": known.median(),
        "std": known.std(),
        "var": known.var(),
    }
    return computed[aggregate].cast(pl.Float32)
