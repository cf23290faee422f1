"""Which columns, by name, by tag, or all of them."""

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emberline.errors import DataError, nearest
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.schema import Schema
from emberline.etl.selection import Selection
from emberline.etl.tags import normalize_tags

if TYPE_CHECKING:
    from emberline.etl.node import Node

__all__ = ["ColumnSelector", "Names"]

Names = str | Sequence[str | Sequence[str]]


class ColumnSelector:
    """Columns by name, nested groups of names, tags, or `"*"`.

    A nested list is a group: operators that can (Categorify) treat its columns jointly.

    >>> from emberline.etl.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("a", tags=["user"]), ColumnSchema("b"), ColumnSchema("c")])
    >>> ColumnSelector(["c", ["a", "b"]]).resolve(schema, where="example").groups
    (('a', 'b'),)
    >>> ColumnSelector(tags=["user"]).resolve(schema, where="example").names
    ['a']
    """

    def __init__(self, names: Names = (), tags: Iterable[str] = ()) -> None:
        """Remember the choice; it is resolved against a schema at the fit.

        Args:
            names: one name, `"*"`, or a list of names and of lists of names (groups).
            tags: also every column that has any of these tags.

        Raises:
            DataError: something else than strings and lists of strings.
        """
        items: Iterable[object] = [names] if isinstance(names, str) else names
        flat: list[str] = []
        alone: list[str] = []
        groups: list[tuple[str, ...]] = []
        self.all = False
        for item in items:
            if isinstance(item, str):
                if item == "*":
                    self.all = True
                else:
                    flat.append(item)
                    alone.append(item)
            elif isinstance(item, (list, tuple)) and item and all(isinstance(n, str) for n in item):
                groups.append(tuple(dict.fromkeys(item)))
                flat.extend(item)
            else:
                raise DataError(
                    f"a column selection is a list of names and of lists of names, got {item!r}"
                )
        self.names: tuple[str, ...] = tuple(dict.fromkeys(flat))
        self.groups: tuple[tuple[str, ...], ...] = tuple(dict.fromkeys(groups))
        self.also_alone = _members(self.groups, alone)
        self.broken_groups: tuple[tuple[str, ...], ...] = ()
        self.tags = normalize_tags(tags)
        self._optional = False

    @classmethod
    def exactly(cls, selection: Selection) -> "ColumnSelector":
        """Give the selector of these columns, in their order, with their groups."""
        out = cls(selection.names)
        out.groups, out.also_alone = selection.groups, selection.also_alone
        out.broken_groups = selection.broken_groups
        return out

    @classmethod
    def of(cls, value: object) -> "ColumnSelector":
        """Give `value` as a selector: a selector, a name or a list.

        Raises:
            DataError: anything else.
        """
        if isinstance(value, ColumnSelector):
            return value
        if isinstance(value, str):
            return cls(value)
        if isinstance(value, (list, tuple)):
            return cls(list(value))
        raise DataError(f"expected column names or a ColumnSelector, got {value!r}")

    def optional(self) -> "ColumnSelector":
        """Give the selector that skips names which do not exist, and may select nothing.

        For what an operator needs beside its columns: a name may be one of those instead.
        """
        out = copy.copy(self)
        out._optional = True
        return out

    def resolve(self, schema: Schema, *, where: str) -> Selection:
        """Give the columns that this selects from `schema`.

        Args:
            schema: the columns there are.
            where: which node asks, for the message.

        Raises:
            ColumnNotFoundError: a name that does not exist; the message suggests the nearest.
            DataError: nothing is selected.
        """
        for name in self.names:
            if name not in schema and not self._optional:
                raise ColumnNotFoundError(
                    f"{where}: no column {name!r} in the data{nearest(name, schema.names)}"
                )
        names = [name for name in self.names if name in schema]
        if self.all:
            names += [name for name in schema.names if name not in names]
        if self.tags:
            names += [c.name for c in schema.select_by_tag(self.tags) if c.name not in names]
        if not names and not self._optional:
            tags = f" with tags {sorted(map(str, self.tags))}" if self.tags else ""
            raise DataError(f"{where}: the selection{tags} is empty; it matches no column")
        return Selection(
            schema.select(names),
            self.groups,
            also_alone=self.also_alone,
            broken_groups=self.broken_groups,
        )

    def __add__(self, other: object) -> Any:
        """Join two selections; with a node on the right the result is a node."""
        from emberline.etl.node import Node

        if isinstance(other, Node):
            return Node.select(self) + other
        more = ColumnSelector.of(other)
        out = ColumnSelector([*self.names, *more.names], tags=self.tags | more.tags)
        out.all = self.all or more.all
        out.groups = tuple(dict.fromkeys(self.groups + more.groups))
        alone = [name for one in (self, more) for name in one._alone()]
        out.also_alone = _members(out.groups, alone)
        return out

    def _alone(self) -> list[str]:
        grouped = {name for group in self.groups for name in group}
        return [n for n in self.names if n not in grouped or n in self.also_alone]

    def __radd__(self, other: object) -> Any:
        return ColumnSelector.of(other) + self

    def __rshift__(self, operator: object) -> "Node":
        """Apply an operator, a list of operators in turn, or a function to the columns."""
        from emberline.etl.node import Node

        return Node.select(self) >> operator

    def __repr__(self) -> str:
        grouped = {name for group in self.groups for name in group}
        parts: list[object] = [name for name in self.names if name not in grouped]
        parts += [list(group) for group in self.groups]
        parts += ["*"] if self.all else []
        tags = f", tags={sorted(map(str, self.tags))}" if self.tags else ""
        return f"ColumnSelector({parts}{tags})"


def _members(groups: Iterable[tuple[str, ...]], alone: Iterable[str]) -> tuple[str, ...]:
    """Give the names that are members of groups, each once."""
    members = {name for group in groups for name in group}
    return tuple(dict.fromkeys(name for name in alone if name in members))
