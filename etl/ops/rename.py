"""Rename: other names, same data."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.selection import Selection

__all__ = ["Rename"]


@register_operator
class Rename(Operator):
    """Rename the columns by a function, a postfix, one name, or a mapping.

    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"a": [1], "b": [2]})
    >>> node = (["a"] >> ops.Rename(postfix="_x")) + (["b"] >> ops.Rename(str.upper))
    >>> Workflow(node).fit_transform(frame).columns
    ['a_x', 'B']
    """

    elementwise = True

    def __init__(
        self,
        f: Callable[[str], str] | None = None,
        postfix: str | None = None,
        name: str | None = None,
        *,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Remember the rule.

        Args:
            f: old name -> new name. A saved workflow holds the names it gave.
            postfix: is appended.
            name: the new name of a single column.
            names: old name -> new name; other columns keep theirs.

        Raises:
            DataError: not exactly one of the four.
        """
        if sum(rule is not None for rule in (f, postfix, name, names)) != 1:
            raise DataError("Rename takes exactly one of f, postfix, name and names")
        self.f, self.postfix, self.name = f, postfix, name
        self.names = None if names is None else dict(names)

    def _renamed(self, selection: Selection) -> dict[str, str]:
        out = {name: self._rename(name) for name in selection.names}
        for new in out.values():
            if not isinstance(new, str) or not new:
                raise DataError(f"Rename: a new name must be a non-empty string, got {new!r}")
            if list(out.values()).count(new) > 1:
                raise DataError(f"Rename: several of the columns {selection.names} become {new!r}")
        return out

    def _rename(self, name: str) -> str:
        if self.f is not None:
            return self.f(name)
        if self.names is not None:
            return self.names.get(name, name)
        return self.name if self.name is not None else f"{name}{self.postfix}"

    def check(self, selection: Selection) -> None:
        """Refuse two columns under one name."""
        self._renamed(selection)

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give new name -> old name."""
        return {new: (old,) for old, new in self._renamed(selection).items()}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Add the columns under their new names."""
        # One with_columns reads all inputs before it writes: swaps of names work.
        return frame.with_columns(pl.col(a).alias(b) for a, b in self._renamed(selection).items())

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the names themselves, so that a function need not be saved."""
        return {"names": self._renamed(selection)}
