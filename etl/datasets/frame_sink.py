"""Frames appended to one file: CSV, TSV or parquet, one after another."""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import polars as pl
import pyarrow.parquet as pq

__all__ = ["FrameSink"]


class FrameSink:
    """A file that frames of equal schema are appended to; use it as a context manager.

    Polars appends no row groups to an open parquet file, so those are written by PyArrow.

    Args:
        path: the file to create.
        format: "csv" (with a header), "tsv" (without, nulls empty) or "parquet" (zstd, one row
            group per frame).
    """

    def __init__(self, path: Path, *, format: Literal["csv", "tsv", "parquet"]) -> None:
        self._path = path
        self._format = format
        self._text: BinaryIO | None = None
        self._parquet: pq.ParquetWriter | None = None
        self._started = False

    def __enter__(self) -> Self:
        if self._format != "parquet":
            self._text = self._path.open("wb")
        return self

    def write(self, frame: pl.DataFrame) -> None:
        """Append a frame."""
        if self._text is not None:
            frame.write_csv(
                self._text,
                include_header=self._format == "csv" and not self._started,
                separator="\t" if self._format == "tsv" else ",",
            )
        else:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if self._parquet is None:
                self._parquet = pq.ParquetWriter(self._path, table.schema, compression="zstd")
            self._parquet.write_table(table, row_group_size=max(1, frame.height))
        self._started = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._text is not None:
            self._text.close()
        if self._parquet is not None:
            self._parquet.close()
