"""ColumnSimilarity: how alike the features of two columns' rows are."""

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl

from emberline.errors import ArtifactCorruptError, DataError
from emberline.etl.errors import ColumnTypeError
from emberline.etl.group_tables import join_table
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags

__all__ = ["ColumnSimilarity"]

Metric = Literal["tfidf", "cosine", "inner"]

_FEATURES = {"row": pl.Int64, "column": pl.Int64, "weight": pl.Float64}


@register_operator
class ColumnSimilarity(Operator):
    """Give the similarity of two columns of row numbers, by their rows in a sparse matrix.

    `[["a", "b"]] >> ColumnSimilarity(features)` gives `a_b_sim`, float64, tagged continuous: the
    inner product of row `a` of the left and row `b` of the right features, which are first scaled
    to length 1 ("cosine"), or weighted by log(rows / rows that have the feature) and then scaled
    ("tfidf"), or left alone ("inner"). Null where a row number is null; 0 where it is beyond the
    matrix or the two have no feature in common.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"a": [0, 0], "b": [1, 2]})
    >>> features = pl.DataFrame({"row": [0, 1, 2], "column": [0, 0, 1], "weight": [2.0, 3.0, 1.0]})
    >>> node = [["a", "b"]] >> ops.ColumnSimilarity(features, metric="inner")
    >>> Workflow(node).fit_transform(frame)["a_b_sim"].to_list()
    [6.0, 0.0]
    """

    def __init__(
        self,
        left_features: Any,
        right_features: Any = None,
        metric: Metric = "tfidf",
        on_device: bool = True,
    ) -> None:
        """Take the features.

        Args:
            left_features: for the first column: a SciPy sparse matrix, a dense 2-D array, or a
                Polars frame with `row`, `column` and `weight`, each pair once.
            right_features: for the second column; None is the left ones.
            metric: "tfidf", "cosine" or "inner".
            on_device: accepted as in NVTabular, where it chooses the GPU; no effect.

        Raises:
            DataError: an unknown metric, or features of another kind.
        """
        if metric not in get_args(Metric):
            raise DataError(f"ColumnSimilarity: metric must be tfidf, cosine or inner: {metric!r}")
        self.metric, self.on_device = metric, bool(on_device)
        left, rows = _table(left_features)
        self._left = _weighted(left, rows, metric)
        if right_features is None:
            self._right = self._left
        else:
            self._right = _weighted(*_table(right_features), metric)

    def check(self, selection: Selection) -> None:
        """Refuse columns that are no row numbers, and selections that are no pairs."""
        for group in selection.groups or ((),):
            if len(group) != 2 or selection.alone:
                raise DataError(
                    "ColumnSimilarity takes pairs of columns, [['a', 'b'], ...], got "
                    f"{[list(g) for g in selection.groups] or selection.names}"
                )
        for column in selection.schema:
            if column.is_list or "int" not in column.dtype:
                raise ColumnTypeError(
                    f"ColumnSimilarity: column {column.name!r} has dtype {column.dtype}; row "
                    "numbers must be integers"
                )

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give one column for each pair."""
        return {f"{left}_{right}_sim": (left, right) for left, right in selection.groups}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Add the similarities."""
        for left, right in selection.groups:
            keys = {
                "left": pl.col(left).cast(pl.Int64),
                "right": pl.col(right).cast(pl.Int64),
            }
            # Each pair of rows is looked up once, however often it comes.
            pairs = frame.select(key.alias(name) for name, key in keys.items()).unique()
            features = self._right.lazy().rename({"row": "right", "weight": "other"})
            products = (
                pairs.join(self._left.lazy(), left_on="left", right_on="row")
                .join(features, on=["right", "column"])
                # In order, so that a sum of floats is the same in every run.
                .sort("left", "right", "column")
                .group_by("left", "right", maintain_order=True)
                .agg((pl.col("weight") * pl.col("other")).sum())
            )
            name = f"{left}_{right}_sim"
            frame = join_table(frame, keys, products, {name: pl.col("weight")})
            known = pl.all_horizontal(pl.col(left, right).is_not_null())
            frame = frame.with_columns(pl.when(known).then(pl.col(name).fill_null(0.0)).alias(name))
        return frame

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column continuous."""
        plain = ColumnSchema(column.name, column.dtype)
        return plain.with_tags([Tags.CONTINUOUS])

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the metric; the weighted features are artifacts."""
        return {"metric": self.metric, "on_device": self.on_device}

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give the weighted features."""
        return {"left": self._left, "right": self._right}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the operator with its features."""
        for side in ("left", "right"):
            if side not in artifacts or dict(artifacts[side].schema) != _FEATURES:
                raise ArtifactCorruptError(f"ColumnSimilarity: the {side} features are missing")
        operator = super().restore({**arguments, "left_features": artifacts["left"]}, {})
        # They are weighted already.
        operator._left, operator._right = artifacts["left"], artifacts["right"]
        return operator


def _table(features: Any) -> tuple[pl.DataFrame, int]:
    """Give the non-zero entries as a frame, and the number of rows."""
    if isinstance(features, pl.DataFrame):
        if set(features.columns) != set(_FEATURES):
            raise DataError(
                f"ColumnSimilarity: a frame of features has the columns {list(_FEATURES)}, got "
                f"{features.columns}"
            )
        table = features.select(pl.col(name).cast(dtype) for name, dtype in _FEATURES.items())
        rows = 0 if table.is_empty() else int(table["row"].max()) + 1  # type: ignore[arg-type]  # integers, not empty
        return table, rows
    if hasattr(features, "tocoo"):
        entries = features.tocoo()
        entries.sum_duplicates()
        found = {"row": entries.row, "column": entries.col, "weight": entries.data}
        return pl.DataFrame(found).cast(_FEATURES), int(entries.shape[0])  # type: ignore[arg-type]  # Polars types the mapping's values too narrowly
    dense = np.asarray(features)
    if dense.ndim != 2 or dense.dtype.kind not in "iufb":
        raise DataError(
            "ColumnSimilarity: features must be a sparse matrix, a 2-D array or a frame, got "
            f"{type(features).__name__}"
        )
    row, column = np.nonzero(dense)
    found = {"row": row, "column": column, "weight": dense[row, column]}
    return pl.DataFrame(found).cast(_FEATURES), len(dense)  # type: ignore[arg-type]  # as above


def _weighted(table: pl.DataFrame, rows: int, metric: str) -> pl.DataFrame:
    weight = pl.col("weight")
    if metric == "tfidf":
        table = table.with_columns(weight * (rows / pl.len().over("column")).log())
    if metric != "inner":
        length = (weight * weight).sum().over("row").sqrt()
        table = table.with_columns(pl.when(length > 0).then(weight / length).otherwise(0.0))
    return table.sort("row", "column").select(list(_FEATURES))
