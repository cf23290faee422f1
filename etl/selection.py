"""The columns that reach an operator."""

from collections.abc import Iterable
from dataclasses import dataclass, field

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
    """

    schema: Schema
    groups: tuple[tuple[str, ...], ...] = ()
    extra: Schema = field(default_factory=Schema)
    also_alone: tuple[str, ...] = ()

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
        grouped = {name for group in self.groups for name in group} - set(self.also_alone)
        return [name for name in self.names if name not in grouped]

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
        """Give the part with these columns, in the order of `names`; groups shrink with it."""
        kept = list(dict.fromkeys(names))
        groups = (tuple(n for n in group if n in kept) for group in self.groups)
        alone = tuple(name for name in self.also_alone if name in kept)
        left = tuple(group for group in groups if group)
        return Selection(self.schema.select(kept), left, self.extra, alone)
