"""From what the user names to rows."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from emberline.dataloaders.arrow import is_frame
from emberline.dataloaders.files import DataFile, FileList, find_files
from emberline.dataloaders.frame_source import FrameSource
from emberline.dataloaders.row_source import RowSource
from emberline.dataloaders.source import ParquetSource
from emberline.errors import DataError
from emberline.etl.schema import Schema

__all__ = ["DatasetLike", "open_source"]


class DatasetLike(Protocol):
    """Rows with a schema, as the ETL's `Dataset`; this folder knows no more of the ETL."""

    @property
    def schema(self) -> Schema:
        """The columns with their tags."""

    @property
    def parquet_files(self) -> tuple[DataFile, ...]:
        """The files that hold just these rows, if there are such."""

    def to_polars(self) -> Any:
        """All rows in memory."""


def open_source(
    data: Any,
    *,
    columns: Iterable[str] | None = None,
    targets: str | Iterable[str] | None = None,
    weights: str | None = None,
    fill: object = None,
    storage_options: Mapping[str, Any] | None = None,
) -> RowSource:
    """Open paths, a frame, or a data set.

    Args:
        data: see `Loader`.
        columns: the feature columns; None is all without another role.
        targets: None is the columns tagged "target"; an empty list is none.
        weights: the column of row weights.
        fill: what stands for a null; see `fill_values`.
        storage_options: for addresses; see `find_files`.

    Raises:
        DataError: no rows, or none of these kinds; see `find_files` and the sources for others.
    """
    # Not isinstance(), which would ask a LazyFrame for its schema.
    if hasattr(data, "parquet_files"):
        dataset: DatasetLike = data
        files, schema = dataset.parquet_files, dataset.schema
        if files:
            found = FileList(files=files, schema=schema)
            return ParquetSource(
                found, columns=columns, targets=targets, weights=weights, fill=fill
            )
        return FrameSource(
            dataset.to_polars(),
            schema=schema,
            columns=columns,
            targets=targets,
            weights=weights,
            fill=fill,
        )
    if is_frame(data):
        return FrameSource(data, columns=columns, targets=targets, weights=weights, fill=fill)
    if hasattr(data, "collect"):
        raise DataError(
            f"data is a {type(data).__name__}, a plan without rows; give its collect(), or write "
            "it as parquet and give the path"
        )
    try:
        found = find_files(data, storage_options=storage_options)
    except TypeError as error:
        raise DataError(
            f"data is a {type(data).__name__}; expected paths, a Polars or pandas frame, an Arrow "
            "table, arrays by name, or a Dataset"
        ) from error
    return ParquetSource(found, columns=columns, targets=targets, weights=weights, fill=fill)
