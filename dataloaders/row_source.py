"""What the loader needs of its data: numbered row groups of decoded columns."""

from typing import Protocol

from emberline.dataloaders.column import Column, ColumnFormat
from emberline.dataloaders.roles import Roles
from emberline.etl.schema import Schema

__all__ = ["RowSource"]


class RowSource(Protocol):
    """Row groups, numbered through; `ParquetSource` and `FrameSource` are two."""

    @property
    def roles(self) -> Roles:
        """What the columns are for."""

    @property
    def formats(self) -> tuple[ColumnFormat, ...]:
        """The columns of a batch, in the order of the roles."""

    @property
    def schema(self) -> Schema | None:
        """What is declared of the columns, where the data has a schema."""

    @property
    def row_group_rows(self) -> tuple[int, ...]:
        """Rows of every row group."""

    @property
    def fingerprint(self) -> str:
        """Changes when the rows, their order or their grouping change."""

    def read(self, index: int) -> dict[str, list[Column]]:
        """Decode one row group: for every column its parts in row order."""

    def __str__(self) -> str:
        """Say what it is in a few words, for example "3 files"."""
