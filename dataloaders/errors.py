"""Errors of the loader; each is an `EmberlineError` and the builtin a caller would expect."""

from emberline.errors import DataError, EmberlineError

__all__ = [
    "DatasetNotFoundError",
    "LoaderStateError",
    "MissingColumnError",
    "ParquetFileError",
]


class DatasetNotFoundError(DataError, FileNotFoundError):
    """No such path, or no parquet files at it."""


class ParquetFileError(DataError, OSError):
    """A parquet file that cannot be read (truncated, damaged, replaced): the message names it."""


class MissingColumnError(DataError, KeyError):
    """A column or target that the files do not have."""

    def __str__(self) -> str:
        """Give the message alone: KeyError would give its repr."""
        return str(self.args[0])


class LoaderStateError(EmberlineError, ValueError):
    """A saved position that belongs to other files or other settings."""
