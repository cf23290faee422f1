"""Errors of the ETL (standard library only)."""

from emberline.errors import DataError, EmberlineError

__all__ = [
    "ColumnNotFoundError",
    "ColumnTypeError",
    "MemoryLimitError",
    "NotFittedError",
    "UnsupportedError",
]


class ColumnNotFoundError(DataError, KeyError):
    """A column that the data does not have; the message suggests the nearest."""

    def __str__(self) -> str:
        """Give the message alone: KeyError would quote it."""
        return str(self.args[0])


class ColumnTypeError(DataError, TypeError):
    """A column whose dtype an operator cannot use, or that changed since the fit."""


class MemoryLimitError(DataError, MemoryError):
    """Statistics that outgrow `memory_limit` when they are merged."""


class NotFittedError(EmberlineError, RuntimeError):
    """A result that needs `Workflow.fit` first."""


class UnsupportedError(EmberlineError, NotImplementedError):
    """An argument or operation of NVTabular that emberline does not offer; says what to use."""
