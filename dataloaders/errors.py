"""Errors of the loader; each is an `EmberlineError` and the builtin a caller would expect."""

from emberline.errors import DataError, EmberlineError

__all__ = [
    "DatasetNotFoundError",
    "DeviceError",
    "LoaderStateError",
    "MissingColumnError",
    "ParquetFileError",
]


class DatasetNotFoundError(DataError, FileNotFoundError):
    """No such path, or no parquet files at it."""


class DeviceError(EmberlineError, RuntimeError):
    """A device that is not there, or that cannot hold a column."""


class ParquetFileError(DataError, OSError):
    """A parquet file that cannot be read (truncated, damaged, replaced): the message names it."""


class MissingColumnError(DataError, KeyError):
    """A column or target that the files do not have."""

    def __str__(self) -> str:
        """Give the message alone: KeyError would give its repr."""
        return str(self.args[0])


class LoaderStateError(EmberlineError, ValueError):
    """A saved position that belongs to other files or other settings."""
