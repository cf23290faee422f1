"""The columns that reach an operator."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from emberline.errors import nearest
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.schema import Schema

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """Columns in order, with the groups that the user wrote as nested lists.

    Attributes:
        schema: the columns.
        groups: joint groups; every member is a column of `schema`.
        extra: columns beside the selected ones, which the operator named in `dependencies`; none
            of `schema`.
        also_alone: members of groups that were selected on their own as well.
        broken_groups: what is left of groups that have lost members since. What was made of the
            whole group is gone; what shares something within the group is not.
    """

    schema: Schema
    groups: tuple[tuple[str, ...], ...] = ()
    extra: Schema = field(default_factory=Schema)
    also_alone: tuple[str, ...] = ()
    broken_groups: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return self.schema.names

    @property
    def available(self) -> Schema:
        """The selected columns, then the extra ones."""
        return self.schema + self.extra

    @property
    def alone(self) -> list[str]:
        """The columns that were selected on their own, not only as members of a group."""
        grouped = {name for group in (*self.groups, *self.broken_groups) for name in group}
        return [n for n in self.names if n not in grouped or n in self.also_alone]

    def require(self, names: Iterable[str], *, where: str) -> None:
        """Check that the named columns are here.

        Args:
            names: the columns needed.
            where: who needs them, for the message.

        Raises:
            ColumnNotFoundError: the first that is missing, with the nearest that exists.
        """
        for name in names:
            if name not in self.schema:
                raise ColumnNotFoundError(
                    f"{where}: no column {name!r} among its inputs{nearest(name, self.names)}"
                )

    def keep(self, names: Iterable[str]) -> "Selection":
        """Give the part with these columns, in the order of `names`; groups may break."""
        kept = list(dict.fromkeys(names))
        whole = tuple(group for group in self.groups if set(group) <= set(kept))
        cut = [group for group in (*self.groups, *self.broken_groups) if group not in whole]
        left = (tuple(name for name in group if name in kept) for group in cut)
        return replace(
            self,
            schema=self.schema.select(kept),
            groups=whole,
            also_alone=tuple(name for name in self.also_alone if name in kept),
            broken_groups=tuple(dict.fromkeys(group for group in left if group)),
        )
