"""Parquet files to batches, in an exact and resumable order."""

from emberline.dataloaders.errors import (
    DatasetNotFoundError,
    LoaderStateError,
    MissingColumnError,
    ParquetFileError,
)
from emberline.dataloaders.frame import to_batch
from emberline.dataloaders.loader import Batch, Loader

__all__ = [
    "Batch",
    "DatasetNotFoundError",
    "Loader",
    "LoaderStateError",
    "MissingColumnError",
    "ParquetFileError",
    "to_batch",
]
