"""JoinGroupby: statistics of groups, beside every row."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import polars as pl

from emberline.errors import ArtifactCorruptError, DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnNotFoundError, NotFittedError
from emberline.etl.exact_sum import as_float, split, split_squares, summed, variances
from emberline.etl.group_tables import (
    group_keys,
    is_key,
    join_table,
    key_names,
    named_groups,
    require_keys,
)
from emberline.etl.leaves import known_count, require_numbers
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.selector import ColumnSelector
from emberline.etl.stat_operator import StatOperator

__all__ = ["JoinGroupby"]

_STATS = ("count", "sum", "mean", "std", "var", "min", "max")


@register_operator
class JoinGroupby(StatOperator):
    """Give statistics of the group that a row belongs to, learned at the fit.

    `["user"] >> JoinGroupby(cont_cols=["price"], stats=["count", "mean"])` gives `user_count` and
    `user_price_mean`; `[["user", "item"]]` groups by pairs and gives `user_item_count`. Null is a
    group of its own. Null and NaN values are not counted; a group that the fit did not see has
    count 0 and null statistics.

    count is int32 (the rows of the group), mean, std and var (ddof 1) float32, sum int64 or
    float64, min and max as the column.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"user": ["a", "b", "a"], "price": [1.0, 5.0, 3.0]})
    >>> node = ["user"] >> ops.JoinGroupby(cont_cols=["price"], stats=["count", "mean"])
    >>> Workflow(node).fit_transform(frame).rows()
    [(2, 2.0), (1, 5.0), (2, 2.0)]
    """

    def __init__(
        self,
        cont_cols: Any = (),
        stats: Sequence[str] = ("count",),
        split_out: Any = None,
        split_every: Any = None,
        cat_cache: str = "host",
        out_path: Any = None,
        on_host: bool = True,
        name_sep: str = "_",
    ) -> None:
        """Remember what to compute.

        Args:
            cont_cols: names of columns of numbers, or a node or selector that gives them.
            stats: of "count", "sum", "mean", "std", "var", "min" and "max".
            split_out: accepted as in NVTabular, like split_every, cat_cache, out_path and on_host:
                how its files are cut and cached. No effect; statistics are saved with the workflow.
            split_every: see split_out.
            cat_cache: see split_out.
            out_path: see split_out.
            on_host: see split_out.
            name_sep: joins the parts of names.

        Raises:
            DataError: an unknown statistic, or statistics of columns and none given.
        """
        self.stats = [stats] if isinstance(stats, str) else list(stats)
        for stat in self.stats:
            if stat not in _STATS:
                raise DataError(f"JoinGroupby: no statistic {stat!r}; known: {', '.join(_STATS)}")
        self.cont_cols: Any = [cont_cols] if isinstance(cont_cols, str) else (cont_cols or [])
        if isinstance(self.cont_cols, tuple):
            self.cont_cols = list(self.cont_cols)
        if not self.stats or (set(self.stats) != {"count"} and not self.cont_cols):
            raise DataError(f"JoinGroupby: stats={self.stats} needs cont_cols, columns of numbers")
        self.split_out, self.split_every, self.cat_cache = split_out, split_every, cat_cache
        self.out_path, self.on_host, self.name_sep = out_path, on_host, name_sep
        self._tables: dict[str, pl.DataFrame] | None = None
        self._dtypes: dict[str, str] = {}

    @property
    def dependencies(self) -> Sequence[Any]:
        """The columns of numbers."""
        return [self.cont_cols] if self.cont_cols else []

    @property
    def fitted(self) -> bool:
        """Whether the statistics are there."""
        return self._tables is not None

    def _conts(self, selection: Selection) -> dict[str, str]:
        """Give the columns of numbers with their dtypes; after the fit those of then."""
        if self.fitted:
            return self._dtypes
        if isinstance(self.cont_cols, list):
            names = self.cont_cols
        elif isinstance(self.cont_cols, ColumnSelector) and self.cont_cols.names:
            names = list(self.cont_cols.names)
        else:
            names = selection.extra.names
        for name in names:
            if name not in selection.available:
                raise ColumnNotFoundError(f"JoinGroupby: no column {name!r} in the data")
        return {name: selection.available[name].dtype for name in names}

    def check(self, selection: Selection) -> None:
        """Refuse groups of lists, and statistics of what is no number."""
        require_keys(selection, where="JoinGroupby")
        if not self.fitted:
            conts = [selection.available[name] for name in self._conts(selection)]
            require_numbers(conts, where="JoinGroupby", lists=False)

    def _outputs(self, name: str, conts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Give output column -> (column of numbers, statistic) of a group."""
        sep = self.name_sep
        out = {f"{name}{sep}count": ("", "count")} if "count" in self.stats else {}
        return out | {
            f"{name}{sep}{cont}{sep}{stat}": (cont, stat)
            for cont in conts
            for stat in self.stats
            if stat != "count"
        }

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the statistics; once learned they need the group's columns alone."""
        conts = self._conts(selection)
        return {
            output: columns
            for name, columns in named_groups(selection, self.name_sep).items()
            for output in self._outputs(name, conts)
        }

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Count, sum and compare within every group."""
        conts = self._conts(selection)
        added = (
            {c: f"{c}.sum" for c in conts}
            if {"sum", "mean", "std", "var"} & set(self.stats)
            else {}
        )
        squared = {c: f"{c}.squares" for c in conts} if {"std", "var"} & set(self.stats) else {}
        plans = {}
        for name, columns in named_groups(selection, self.name_sep).items():
            keys = group_keys(columns, selection.schema)
            parts = split(frame.select(*keys, *conts), added)
            parts = split_squares(parts, squared)
            aggregates = [pl.len().cast(pl.Int64).alias("count")]
            for cont, dtype in conts.items():
                values = pl.col(cont).fill_nan(None) if "float" in dtype else pl.col(cont)
                known = known_count(cont, parse_dtype(dtype, column=cont))
                aggregates += [
                    known.alias(f"{cont}.count"),
                    values.min().alias(f"{cont}.min"),
                    values.max().alias(f"{cont}.max"),
                ]
            aggregates += summed(parts, [*added.values(), *squared.values()])
            plans[name] = parts.group_by(key_names(columns)).agg(aggregates)
        return plans

    def keys(self, name: str, selection: Selection) -> Sequence[str]:
        """Groups meet by their keys."""
        return key_names(named_groups(selection, self.name_sep)[name])

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add up and compare within every group."""
        both = pl.concat(frames, how="vertical_relaxed")
        keys = [c for c in both.columns if is_key(c)]
        ends = {"min": pl.Expr.min, "max": pl.Expr.max}
        aggregates = [
            ends.get(c.rpartition(".")[2], pl.Expr.sum)(pl.col(c))
            for c in both.columns
            if c not in keys
        ]
        # Sorted: the order of groups is not defined.
        return both.group_by(keys).agg(aggregates).sort(keys)

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Compute the tables of all groups."""
        dtypes = self._conts(selection)
        self._tables = self._computed(statistics, dtypes)
        self._dtypes = dict(dtypes)

    def _computed(
        self, statistics: Mapping[str, pl.DataFrame], dtypes: Mapping[str, str]
    ) -> dict[str, pl.DataFrame]:
        tables = {}
        for name, sums in statistics.items():
            keys = [pl.col(c) for c in sums.columns if is_key(c)]
            made = [
                _statistic(sums, cont, stat, dtypes.get(cont, "")).alias(output)
                for output, (cont, stat) in self._outputs(name, dtypes).items()
            ]
            tables[name] = sums.select(*keys, *made)
        return tables

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Join the statistics of every group."""
        if self._tables is None:
            raise NotFittedError("JoinGroupby has not been fitted; call Workflow.fit first")
        for name, columns in named_groups(selection, self.name_sep).items():
            table = self._tables[name].lazy()
            outputs = self._outputs(name, self._dtypes)
            keys = dict(zip(key_names(columns), group_keys(columns, selection.schema), strict=True))
            frame = join_table(frame, keys, table, {output: pl.col(output) for output in outputs})
            counts = [output for output, (_, stat) in outputs.items() if stat == "count"]
            frame = frame.with_columns(pl.col(count).fill_null(0) for count in counts)
        return frame

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Known before the fit."""
        conts = self._conts(selection)
        return {
            output: _dtype(stat, conts.get(cont, ""))
            for name in named_groups(selection, self.name_sep)
            for output, (cont, stat) in self._outputs(name, conts).items()
        }

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """The output is a number: what was said of the keys does not hold for it."""
        return ColumnSchema(column.name, column.dtype)

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the settings and the columns of numbers; the statistics are artifacts."""
        return {"stats": self.stats, "name_sep": self.name_sep, "conts": self._dtypes}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator and compute its tables."""
        settings = dict(arguments)
        conts = settings.pop("conts", None)
        if not isinstance(conts, dict) or not all(isinstance(d, str) for d in conts.values()):
            raise ArtifactCorruptError("JoinGroupby: 'conts' must map columns to dtypes")
        operator = super().restore({**settings, "cont_cols": list(conts)}, artifacts)
        operator._dtypes = conts
        operator._tables = operator._computed(operator.statistics(), conts)
        return operator


def _dtype(stat: str, cont: str) -> pl.DataType:
    """Give the dtype of a statistic of a column of dtype `cont`."""
    if stat == "count":
        return pl.Int32()
    if stat in {"mean", "std", "var"}:
        return pl.Float32()
    if stat == "sum":
        return pl.Float64() if cont.startswith("float") else pl.Int64()
    return parse_dtype(cont, column=stat)


def _statistic(sums: pl.DataFrame, cont: str, stat: str, dtype: str) -> pl.Expr:
    """Give a statistic of every group, as an expression of the sums."""
    out = _dtype(stat, dtype)
    if stat == "count":
        return pl.col("count").cast(out)
    if stat in {"min", "max"}:
        return pl.col(f"{cont}.{stat}").cast(out)
    if stat in {"std", "var"}:
        variance = variances(sums, f"{cont}.count", f"{cont}.sum", f"{cont}.squares")
        return pl.lit(variance.sqrt() if stat == "std" else variance).cast(out)
    total = as_float(f"{cont}.sum", parse_dtype(dtype, column=cont))
    if stat == "sum":
        return (pl.col(f"{cont}.sum.whole") if out == pl.Int64() else total).cast(out)
    count = pl.col(f"{cont}.count")
    return pl.when(count > 0).then(total / count).cast(out)
