"""TargetEncoding: the mean target of a group, without the row's own fold."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl

from emberline.errors import ArtifactCorruptError, DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnNotFoundError, ColumnTypeError, NotFittedError
from emberline.etl.exact_sum import as_float, split, summed
from emberline.etl.group_tables import (
    group_keys,
    is_key,
    join_table,
    key_names,
    named_groups,
    require_keys,
)
from emberline.etl.leaves import float_dtype, known_count
from emberline.etl.operator import ROW_INDEX
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.selector import ColumnSelector
from emberline.etl.stat_operator import StatOperator
from emberline.etl.tags import Tags

__all__ = ["TargetEncoding"]

#: The folds of this many rows are drawn; then they repeat, as in NVTabular those of every partition
#: do.
PERIOD = 65_536
FOLD = "__fold__"


@register_operator
class TargetEncoding(StatOperator):
    """Give the smoothed mean of the target in the row's group, learned from the other folds.

    `["user"] >> TargetEncoding("rating")` gives `TE_user_rating`, float32, tagged continuous:
    (sum + p_smooth * mean) / (count + p_smooth), where sum and count are over the rows of the group
    in other folds than the row's own and `mean` is the target's over all rows. A group without such
    rows gets `mean`. Null is a group of its own; rows without a target are not counted.

    The fold of a row is drawn by its position in the data, with NumPy's `RandomState(fold_seed)`, so
    it is the same at the fit and at a transform of the same rows in the same order: no row sees its
    own target. New data gets folds by position too, as in NVTabular: a group's value then leaves
    one fold of the training data out. `kfold=1` uses all rows: for data that is not trained on.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"user": ["a", "b", "a", "a"], "rating": [1, 2, 3, 4]})
    >>> node = ["user"] >> ops.TargetEncoding("rating", kfold=1, p_smooth=2)
    >>> Workflow(node).fit_transform(frame)["TE_user_rating"].round(3).to_list()
    [2.5999999046325684, 2.3329999446868896, 2.5999999046325684, 2.5999999046325684]
    """

    uses_row_index = True

    def __init__(
        self,
        target: Any,
        target_mean: float | Mapping[str, float] | None = None,
        kfold: int | None = None,
        fold_seed: int | None = 42,
        p_smooth: float = 20,
        out_col: str | Sequence[str] | None = None,
        out_dtype: Any = None,
        split_out: Any = None,
        split_every: Any = None,
        cat_cache: str = "host",
        out_path: Any = None,
        on_host: bool = True,
        name_sep: str = "_",
        drop_folds: bool = True,
    ) -> None:
        """Remember the settings.

        Args:
            target: the name or names of target columns, or a node or selector that gives them.
            target_mean: the mean (or target -> mean) to use instead of the one learned.
            kfold: the number of folds, 3 by default.
            fold_seed: seeds the draw; None takes the folds in turn.
            p_smooth: how many rows the mean of all counts for.
            out_col: names of the outputs, one for each group and target, groups first.
            out_dtype: "float32" (the default) or "float64".
            split_out: accepted as in NVTabular, like split_every, cat_cache, out_path and on_host:
                how its files are cut and cached. No effect; statistics are saved with the workflow.
            split_every: see split_out.
            cat_cache: see split_out.
            out_path: see split_out.
            on_host: see split_out.
            name_sep: joins the names of a group.
            drop_folds: False gives the column `__fold__` (int64) too.

        Raises:
            DataError: an argument out of range.
        """
        self.target: Any = [target] if isinstance(target, str) else target
        if isinstance(self.target, tuple):
            self.target = list(self.target)
        self.target_mean = target_mean
        self.kfold = 3 if kfold is None else kfold
        if isinstance(self.kfold, bool) or not isinstance(self.kfold, int) or self.kfold < 1:
            raise DataError(f"TargetEncoding: kfold must be at least 1, got {kfold!r}")
        self.fold_seed, self.p_smooth = fold_seed, p_smooth
        if not p_smooth >= 0:
            raise DataError(f"TargetEncoding: p_smooth must not be below 0, got {p_smooth!r}")
        self.out_col = [out_col] if isinstance(out_col, str) else out_col
        self.out_dtype = float_dtype(out_dtype or "float32", where="TargetEncoding")
        self.split_out, self.split_every, self.cat_cache = split_out, split_every, cat_cache
        self.out_path, self.on_host, self.name_sep = out_path, on_host, name_sep
        self.drop_folds = bool(drop_folds)
        self._targets: dict[str, str] = {}
        self._tables: dict[str, pl.DataFrame] | None = None
        self._means: dict[str, float] = {}
        self._named: dict[str, tuple[str, str]] = {}

    @property
    def dependencies(self) -> Sequence[Any]:
        """The targets."""
        return [self.target]

    @property
    def fitted(self) -> bool:
        """Whether the statistics are there."""
        return self._tables is not None

    def _found(self, selection: Selection) -> dict[str, str]:
        """Give the targets with their dtypes; after the fit those of then."""
        if self.fitted:
            return self._targets
        names = self.target if isinstance(self.target, list) else selection.extra.names
        if isinstance(self.target, ColumnSelector) and self.target.names:
            names = list(self.target.names)
        for name in names:
            if name not in selection.available:
                raise ColumnNotFoundError(f"TargetEncoding: no target column {name!r} in the data")
        return {name: selection.available[name].dtype for name in names}

    def check(self, selection: Selection) -> None:
        """Refuse groups of lists, targets without a mean, and too few output names."""
        require_keys(selection, where="TargetEncoding")
        targets = self._found(selection)
        for name in () if self.fitted else targets:
            column = selection.available[name]
            if column.is_list or not column.dtype.startswith(("int", "uint", "float", "bool")):
                raise ColumnTypeError(
                    f"TargetEncoding: target {name!r} has dtype {column.dtype}"
                    f"{' (list)' if column.is_list else ''}; it must be a number or bool"
                )
        if isinstance(self.target_mean, Mapping) and set(self.target_mean) != set(targets):
            raise DataError(
                f"TargetEncoding: target_mean is for {list(self.target_mean)}, the targets are "
                f"{list(targets)}"
            )
        if not self.fitted or not self._named:
            self._named = {}
            self._named = self._outputs(selection)

    def _outputs(self, selection: Selection) -> dict[str, tuple[str, str]]:
        """Give output column -> (group, target); names stay when groups are removed."""
        groups = named_groups(selection, self.name_sep)
        if self.fitted and self._named:
            return {name: pair for name, pair in self._named.items() if pair[0] in groups}
        pairs = [(group, target) for group in groups for target in self._found(selection)]
        names = [f"TE_{group}_{target}" for group, target in pairs]
        if self.out_col is not None:
            names = list(self.out_col)
        if len(set(names)) != len(pairs):
            raise DataError(
                f"TargetEncoding: out_col must be {len(pairs)} different names, one for each "
                f"group and target, got {names}"
            )
        return dict(zip(names, pairs, strict=True))

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the encodings; once learned they do not need the target."""
        groups = named_groups(selection, self.name_sep)
        mapping = {name: groups[group] for name, (group, _) in self._outputs(selection).items()}
        return mapping if self.drop_folds else mapping | {FOLD: tuple(selection.names)}

    def _fold(self) -> pl.Expr:
        """Give the fold of every row."""
        position = pl.col(ROW_INDEX).cast(pl.Int64)
        if self.kfold == 1 or self.fold_seed is None:
            return position % self.kfold
        return pl.lit(_drawn(self.fold_seed, self.kfold)).gather(position % PERIOD)

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Count and sum the targets by group and fold."""
        targets = self._found(selection)
        plans = {}
        for name, columns in named_groups(selection, self.name_sep).items():
            keys = group_keys(columns, selection.schema)
            rows = frame.select(*keys, *targets, self._fold().alias("fold"))
            parts = split(rows, {target: f"{target}.sum" for target in targets})
            counts = (
                known_count(target, parse_dtype(dtype, column=target)).alias(f"{target}.count")
                for target, dtype in targets.items()
            )
            sums = summed(parts, [f"{target}.sum" for target in targets])
            plans[name] = parts.group_by([*key_names(columns), "fold"]).agg(*counts, *sums)
        return plans

    def keys(self, name: str, selection: Selection) -> Sequence[str]:
        """Groups meet by their keys and fold."""
        return [*key_names(named_groups(selection, self.name_sep)[name]), "fold"]

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add up within every group and fold."""
        both = pl.concat(frames, how="vertical_relaxed")
        keys = [c for c in both.columns if is_key(c) or c == "fold"]
        # Sorted: the order of groups is not defined.
        return both.group_by(keys).agg(pl.exclude(keys).sum()).sort(keys)

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Compute the encodings of every group and fold."""
        targets = dict(self._found(selection))
        self._tables, self._means = self._computed(statistics, targets)
        self._targets = targets

    def _computed(
        self, statistics: Mapping[str, pl.DataFrame], targets: Mapping[str, str]
    ) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
        """Give a table of keys with a column for each target and fold by group, and the means."""
        tables: dict[str, pl.DataFrame] = {}
        means: dict[str, float] = {}
        for name, sums in statistics.items():
            keys = [c for c in sums.columns if is_key(c)]
            numbers = [c for c in sums.columns if c not in {*keys, "fold"}]
            whole = sums.group_by(keys).agg(pl.col(numbers).sum()).sort(keys)
            # Of any group: every row is in one.
            means = {t: self._mean(t, dtype, sums) for t, dtype in targets.items()}
            table = whole.select(keys)
            for fold in range(self.kfold):
                others = whole
                if self.kfold > 1:
                    own = sums.filter(pl.col("fold") == fold).drop("fold")
                    both = whole.join(
                        own,
                        on=keys,
                        how="left",
                        nulls_equal=True,
                        maintain_order="left",
                        suffix=".own",
                    )
                    # Exact, the sums are integers: what the own fold added is taken away.
                    others = both.select(
                        pl.col(c) - pl.col(f"{c}.own").fill_null(0) for c in numbers
                    )
                encoded = (
                    self._encoding(target, dtype, means[target]).alias(f"{target}.{fold}")
                    for target, dtype in targets.items()
                )
                table = table.hstack(others.select(encoded))
            tables[name] = table
        return tables, means

    def _encoding(self, target: str, dtype: str, mean: float) -> pl.Expr:
        kind = parse_dtype(dtype, column=target)
        total = as_float(f"{target}.sum", kind) + self.p_smooth * mean
        weight = pl.col(f"{target}.count") + self.p_smooth
        encoded = pl.when(weight > 0).then(total / weight).otherwise(mean)
        return encoded.cast(parse_dtype(self.out_dtype, column=target))

    def _mean(self, target: str, dtype: str, sums: pl.DataFrame) -> float:
        """Give the mean of the target over all rows: given, or learned."""
        if isinstance(self.target_mean, Mapping):
            return float(self.target_mean[target])
        if self.target_mean is not None:
            return float(self.target_mean)
        numbers = [c for c in sums.columns if c.startswith(f"{target}.")]
        row = sums.select(pl.col(numbers).sum())
        count = int(row[f"{target}.count"].item())
        if not count:
            raise DataError(f"TargetEncoding: target {target!r} has no value at all")
        total = as_float(f"{target}.sum", parse_dtype(dtype, column=target))
        return float(row.select(total).item()) / count

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Join the encodings of every group."""
        if self._tables is None:
            raise NotFittedError("TargetEncoding has not been fitted; call Workflow.fit first")
        fold = "\x1ffold"
        frame = frame.with_columns(self._fold().alias(fold))
        for name, columns in named_groups(selection, self.name_sep).items():
            table = self._tables[name].lazy()
            keys = dict(zip(key_names(columns), group_keys(columns, selection.schema), strict=True))
            wanted = {o: target for o, (g, target) in self._outputs(selection).items() if g == name}
            # One join on the keys, then the fold's column: faster than a join on keys and fold.
            joined = {
                f"\x1f{i} {output}": pl.col(f"{target}.{i}")
                for output, target in wanted.items()
                for i in range(self.kfold)
            }
            frame = join_table(frame, keys, table, joined)
            made = []
            for output, target in wanted.items():
                chosen = pl.coalesce(
                    pl.when(pl.col(fold) == i).then(pl.col(f"\x1f{i} {output}"))
                    for i in range(self.kfold)
                )
                made.append(chosen.fill_null(self._means[target]).alias(output))
            frame = frame.with_columns(made).drop(list(joined))
        return frame if self.drop_folds else frame.with_columns(pl.col(fold).alias(FOLD))

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Floats, known before the fit."""
        dtype = parse_dtype(self.out_dtype, column="TargetEncoding")
        out: dict[str, pl.DataType] = dict.fromkeys(self._outputs(selection), dtype)
        return out if self.drop_folds else out | {FOLD: pl.Int64()}

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the encoding continuous; what was said of the keys does not hold for it."""
        plain = ColumnSchema(column.name, column.dtype)
        return plain if column.name == FOLD else plain.with_tags([Tags.CONTINUOUS])

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the settings and the targets; the statistics are artifacts."""
        names = ("target_mean", "kfold", "fold_seed", "p_smooth", "out_dtype", "name_sep")
        settings = {name: getattr(self, name) for name in (*names, "drop_folds")}
        if self.out_col is not None:
            settings["out_col"] = list(self._outputs(selection))
        return settings | {"targets": self._targets}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator and compute its tables."""
        settings = dict(arguments)
        targets = settings.pop("targets", None)
        if not isinstance(targets, dict) or not all(isinstance(d, str) for d in targets.values()):
            raise ArtifactCorruptError("TargetEncoding: 'targets' must map columns to dtypes")
        operator = super().restore({**settings, "target": list(targets)}, artifacts)
        operator._targets = targets
        operator._tables, operator._means = operator._computed(operator.statistics(), targets)
        return operator


@functools.lru_cache(maxsize=8)
def _drawn(seed: int, kfold: int) -> pl.Series:
    """Give the folds of the first `PERIOD` rows, as NVTabular draws them."""
    return pl.Series(np.random.RandomState(seed).choice(kfold, PERIOD), dtype=pl.Int64)
