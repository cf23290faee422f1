"""LambdaOp: a function of the user."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import dtype_name, dtype_of, parse_dtype
from emberline.etl.errors import UnsupportedError
from emberline.etl.operator import Operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import normalize_tags
from emberline.etl.user_function import (
    Engine,
    PandasFunctionWarning,
    Resolved,
    arity,
    reads_rows,
    resolve,
)

__all__ = ["LambdaOp"]


class LambdaOp(Operator):
    """Apply a function to every column: `f(column)`, or `f(column, frame)` with other columns.

    The function gets a Polars expression where it accepts one, and `frame["other"]` is one too.
    Code for pandas (`.astype`, `.fillna`, `.str.lower()`) is given pandas Series, batch by batch
    (all rows at once where it looks beyond a row, as `.mean()` does), with a warning that says how
    it would be faster. Some methods have one name in both and mean
    different things (`str.slice`, `str.replace`, `str.find`, `quantile`): where the results would
    differ, pandas' meaning is taken, as in NVTabular; `engine="polars"` takes the other.

    It runs, but it cannot be saved: a saved workflow holds no code. Use `Sql`, or an operator class
    of your own with `register_operator`.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"clicks": [1, 3], "total": [4, 4]})
    >>> node = ["clicks"] >> ops.LambdaOp(lambda c, df: c / df["total"], dependency=["total"])
    >>> Workflow(node).fit_transform(frame)["clicks"].to_list()
    [0.25, 0.75]
    """

    def __init__(
        self,
        f: Callable[..., Any],
        dependency: Any = None,
        label: str | None = None,
        dtype: Any = None,
        tags: Iterable[str] | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        """Remember the function.

        Args:
            f: of a column, or of a column and a frame.
            dependency: columns that the frame has beside the selected ones: names, or a node.
            label: what the step is called in drawings; the function's name by default.
            dtype: of the results, to which they are cast; found out by default.
            tags: added to the columns.
            properties: added to the columns.
            engine: "polars" or "pandas": what `f` is written for, where it should not be found out.

        Raises:
            DataError: `f` cannot be called, or takes neither one nor two arguments.
        """
        if not callable(f):
            raise DataError(f"LambdaOp takes a function, got {f!r}")
        if engine not in (None, "polars", "pandas"):
            raise DataError(f"LambdaOp: engine must be 'polars' or 'pandas', got {engine!r}")
        self.f, self.dependency, self.engine = f, dependency, engine
        self._arity = arity(f, where="LambdaOp", allowed=(1, 2))
        self._label = label
        self.dtype = None if dtype is None else dtype_name(dtype)
        self.tags = sorted(map(str, normalize_tags(tags or ())))
        self.properties = dict(properties or {})
        # Shared by all copies: a function is tried, and warned about, once.
        self._resolved: dict[Any, Resolved] = {}

    @property
    def label(self) -> str:
        """What the step is called: the label given, or the function's name."""
        name = getattr(self.f, "__name__", type(self.f).__name__)
        return self._label or ("LambdaOp" if name == "<lambda>" else name)

    @property
    def dependencies(self) -> Sequence[Any]:
        """The columns that the frame has beside the selected ones."""
        if not self.dependency:
            return ()
        given = self.dependency if isinstance(self.dependency, list) else [self.dependency]
        return [[item] if isinstance(item, str) else item for item in given]

    def _expr(self, name: str, selection: Selection) -> pl.Expr:
        """Give the function's result for a column."""
        dtypes = {column.name: dtype_of(column) for column in selection.available}
        if self._arity == 1:
            dtypes = {name: dtypes[name]}
        key = (name, *dtypes.items())
        if key not in self._resolved:
            arguments: list[str | None] = [name] if self._arity == 1 else [name, None]
            made = resolve(
                self.f,
                arguments,
                dtypes,
                where=f"LambdaOp on column {name!r}",
                engine=self.engine,
                dtype=None if self.dtype is None else parse_dtype(self.dtype, column=name),
            )
            if made.pandas and not any(other.pandas for other in self._resolved.values()):
                warnings.warn(made.pandas, PandasFunctionWarning, stacklevel=2)
            self._resolved[key] = made
        return self._resolved[key].expr.alias(name)

    def check(self, selection: Selection) -> None:
        """Find out how the function is called."""
        for name in selection.names:
            self._expr(name, selection)

    def reads_other_rows(self, selection: Selection) -> bool:
        """Say whether the function does: a shift, an aggregate."""
        dtypes = {column.name: dtype_of(column) for column in selection.available}
        return any(reads_rows(self._expr(name, selection), dtypes) for name in selection.names)

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the columns; with a frame each needs all that there are."""
        if self._arity == 1:
            return {name: (name,) for name in selection.names}
        every = selection.available.names
        return {name: (name, *(n for n in every if n != name)) for name in selection.names}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by the function's result."""
        return frame.with_columns([self._expr(name, selection) for name in selection.names])

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Add the tags and properties."""
        return column.with_tags(self.tags).with_properties(self.properties)

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Refuse: see the class."""
        raise UnsupportedError(
            f"LambdaOp on {selection.names} cannot be saved, a saved workflow holds no code; use "
            'ops.Sql("...", name="...") or an operator class of your own decorated with '
            "emberline.etl.register_operator"
        )
