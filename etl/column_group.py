"""ColumnGroup: the old name of `ColumnSelector`."""

import warnings
from collections.abc import Iterable

from emberline.etl.selector import ColumnSelector, Names

__all__ = ["ColumnGroup"]


class ColumnGroup(ColumnSelector):
    """Deprecated: write `ColumnSelector`."""

    def __init__(self, names: Names = (), tags: Iterable[str] = ()) -> None:
        """Warn, and select; see `ColumnSelector`."""
        warnings.warn(
            "ColumnGroup is deprecated; write ColumnSelector", DeprecationWarning, stacklevel=2
        )
        super().__init__(names, tags)
