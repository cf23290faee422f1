"""LambdaOp: a function of a Polars expression."""

from collections.abc import Callable
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.errors import UnsupportedError
from emberline.etl.operator import Operator
from emberline.etl.selection import Selection

__all__ = ["LambdaOp"]


class LambdaOp(Operator):
    """Apply a function to every column: it gets a Polars expression and returns one.

    `["price"] >> LambdaOp(lambda price: price * 100)`. It runs, but it cannot be saved: a saved
    workflow holds no code. Use `Sql`, or an operator class of your own with
    `register_operator`.
    """

    def __init__(self, f: Callable[[pl.Expr], pl.Expr]) -> None:
        """Remember the function.

        Raises:
            DataError: `f` cannot be called.
        """
        if not callable(f):
            raise DataError(f"LambdaOp takes a function of a Polars expression, got {f!r}")
        self.f = f

    def _apply(self, name: str) -> pl.Expr:
        try:
            made = self.f(pl.col(name))
        except (AttributeError, TypeError) as error:
            raise DataError(
                f"LambdaOp on column {name!r}: {error}. The function gets one Polars expression, "
                "not a pandas Series"
            ) from error
        if not isinstance(made, pl.Expr):
            raise DataError(
                f"LambdaOp on column {name!r}: the function must return a Polars expression, got "
                f"{made!r}"
            )
        return made.alias(name)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by the function's result."""
        return frame.with_columns([self._apply(name) for name in selection.names])

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Refuse: see the class."""
        raise UnsupportedError(
            f"LambdaOp on {selection.names} cannot be saved, a saved workflow holds no code; use "
            'ops.Sql("...", name="...") or an operator class of your own decorated with '
            "emberline.etl.register_operator"
        )
