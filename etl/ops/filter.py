"""Filter: rows that a function chooses."""

import warnings
from collections.abc import Callable
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import dtype_of
from emberline.etl.errors import UnsupportedError
from emberline.etl.operator import Operator
from emberline.etl.selection import Selection
from emberline.etl.user_function import (
    Engine,
    PandasFunctionWarning,
    Resolved,
    arity,
    reads_rows,
    resolve,
)

__all__ = ["Filter"]


class Filter(Operator):
    """Keep the rows for which a function of the frame is true.

    `f(df)` returns a mask, `df["y"] > 2`, or the rows themselves, `df[df["y"] > 2]`. It gets the
    selected columns as Polars expressions where it accepts them, else as a pandas DataFrame batch
    by batch, with a warning (see `LambdaOp`). Rows where the mask is null go; a comparison with
    null is null. The rows are dropped from every column of the workflow's output, so that they stay
    aligned; statistics of other branches still see them.

    It runs, but it cannot be saved: a saved workflow holds no code. To drop rows with missing
    values there is `Dropna`.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"x": ["a", "b", "c"], "y": [1, None, 3]})
    >>> node = ["x", "y"] >> ops.Filter(lambda df: df["y"] > 0)
    >>> Workflow(node).fit_transform(frame).rows()
    [('a', 1), ('c', 3)]
    """

    keeps_groups = True

    def __init__(self, f: Callable[..., Any], *, engine: Engine | None = None) -> None:
        """Remember the function.

        Args:
            f: of a frame.
            engine: "polars" or "pandas": what `f` is written for, where it should not be found out.

        Raises:
            DataError: `f` cannot be called with one argument.
        """
        if not callable(f):
            raise DataError(f"Filter takes a function of a frame, got {f!r}")
        if engine not in (None, "polars", "pandas"):
            raise DataError(f"Filter: engine must be 'polars' or 'pandas', got {engine!r}")
        arity(f, where="Filter", allowed=(1,))
        self.f, self.engine = f, engine
        # Shared by all copies: a function is tried, and warned about, once.
        self._resolved: dict[Any, Resolved] = {}

    @property
    def keeps_rows(self) -> bool:
        """Rows may go."""
        return False

    def _mask(self, selection: Selection) -> pl.Expr:
        dtypes = {column.name: dtype_of(column) for column in selection.schema}
        key = tuple(dtypes.items())
        if key not in self._resolved:
            made = resolve(self.f, [None], dtypes, where="Filter", engine=self.engine)
            found = pl.LazyFrame(schema=dtypes).select(made.expr.alias("x")).collect_schema()["x"]
            if found != pl.Boolean:
                raise DataError(f"Filter: the function must give a bool for each row, got {found}")
            if made.pandas and not self._resolved:
                warnings.warn(made.pandas, PandasFunctionWarning, stacklevel=2)
            self._resolved[key] = made
        return self._resolved[key].expr

    def check(self, selection: Selection) -> None:
        """Find out how the function is called."""
        self._mask(selection)

    def reads_other_rows(self, selection: Selection) -> bool:
        """Say whether the function does: a shift, an aggregate."""
        dtypes = {column.name: dtype_of(column) for column in selection.schema}
        return reads_rows(self._mask(selection), dtypes)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Keep the rows."""
        return frame.filter(self._mask(selection))

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Refuse: see the class."""
        raise UnsupportedError(
            f"Filter on {selection.names} cannot be saved, a saved workflow holds no code; filter "
            "the data before, or write an operator class of your own decorated with "
            "emberline.etl.register_operator"
        )
