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
    """

    schema: Schema
    groups: tuple[tuple[str, ...], ...] = ()
    extra: Schema = field(default_factory=Schema)

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return self.schema.names

    @property
    def available(self) -> Schema:
        """The selected columns, then the extra ones."""
        return self.schema + self.extra

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
        return Selection(self.schema.select(kept), tuple(g for g in groups if g), self.extra)
