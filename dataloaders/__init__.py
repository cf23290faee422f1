"""Parquet files to batches, in an exact and resumable order."""

from emberline.dataloaders.errors import (
    DatasetNotFoundError,
    DeviceError,
    LoaderStateError,
    MissingColumnError,
    ParquetFileError,
)
from emberline.dataloaders.frame import to_batch
from emberline.dataloaders.loader import Loader
from emberline.dataloaders.mapped import MappedLoader
from emberline.dataloaders.stats import LoaderStats
from emberline.dataloaders.stream import Batch

__all__ = [
    "Batch",
    "DatasetNotFoundError",
    "DeviceError",
    "Loader",
    "LoaderStateError",
    "LoaderStats",
    "MappedLoader",
    "MissingColumnError",
    "ParquetFileError",
    "to_batch",
]
