"""A lazy plan with a schema, cut into partitions."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.execution import collect
from emberline.etl.frames import FrameKind
from emberline.etl.memory_size import parse_size, row_bytes
from emberline.etl.partitions import physical_memory
from emberline.etl.schema import Schema

__all__ = ["PART_ROWS", "PartitionedPlan"]

#: Rows of a part: bounds what the streaming engine buffers in a fit. Fitting ids and genres of
#: 25 M ratings peaked at 0.3 GB with 2 M, 0.45 GB with 4 M, 1.4 GB in one part; times were alike.
PART_ROWS = 4_000_000


class PartitionedPlan:
    """The part of a `Dataset` that does not depend on where its rows come from."""

    _lazy: pl.LazyFrame
    _schema: Schema

    def __init__(self) -> None:
        self._kind: FrameKind | None = None
        self._files: tuple[Path, ...] = ()
        self._num_rows: int | None = None
        self._npartitions: int | None = None
        self._part_bytes: int | None = None
        self._lens: list[int] | None = None

    def _set_partitions(
        self, npartitions: int | None, part_size: int | str | None, fraction: float | None
    ) -> None:
        self._npartitions, self._part_bytes, self._lens = None, None, None
        if npartitions is not None:
            if isinstance(npartitions, bool) or not isinstance(npartitions, int) or npartitions < 1:
                raise DataError(f"npartitions must be a positive integer, got {npartitions!r}")
            self._npartitions = npartitions
        if part_size is not None:
            self._part_bytes = parse_size(part_size, name="part_size")
        elif fraction is not None:
            if not 0 < fraction < 1:
                raise DataError(f"part_mem_fraction must be between 0 and 1, got {fraction!r}")
            self._part_bytes = int(fraction * physical_memory())

    @property
    def schema(self) -> Schema:
        """The columns. It may be set: columns that the new schema lacks are then left out."""
        return self._schema

    @schema.setter
    def schema(self, schema: Schema) -> None:
        for name in schema.names:
            if name not in self._schema:
                raise ColumnNotFoundError(
                    f"the schema has a column {name!r} that the data has not"
                    f"{nearest(name, self._schema.names)}"
                )
        self._lazy, self._schema = self._lazy.select(schema.names), schema

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files that a read touches; empty for frames and remote files."""
        return self._files

    @property
    def num_rows(self) -> int:
        """The number of rows; parquet files know it, anything else is counted once."""
        if self._num_rows is None:
            counted = collect(self._lazy.select(pl.len()), files=self.files).item()
            self._num_rows = int(counted)
        return self._num_rows

    def __len__(self) -> int:
        return self.num_rows

    @property
    def partition_lens(self) -> list[int]:
        """The number of rows of each partition, in order."""
        if self._lens is None:
            rows = self.num_rows
            count = self._npartitions
            if count is None:
                each = PART_ROWS
                if self._part_bytes is not None:
                    each = max(1, self._part_bytes // row_bytes(self._lazy))
                count = max(1, -(-rows // each))
            self._lens = [rows * (i + 1) // count - rows * i // count for i in range(count)]
        return list(self._lens)

    @property
    def npartitions(self) -> int:
        """The number of partitions."""
        return self._npartitions or len(self.partition_lens)

    def to_lazy(self) -> pl.LazyFrame:
        """Give the rows as a lazy Polars plan."""
        return self._lazy

    def to_polars(self) -> pl.DataFrame:
        """Read all rows into memory.

        Raises:
            DataError: a damaged file, named.
        """
        return collect(self._lazy, files=self.files)

    def _frame(self, plan: pl.LazyFrame) -> Any:
        """Run a plan; a data set made of a pandas frame gives pandas frames, any other Polars."""
        frame = collect(plan, files=self.files)
        return frame.to_pandas() if self._kind == "pandas" else frame

    def compute(self) -> Any:
        """Read all rows: a pandas frame if the data set was made of one, else a Polars frame."""
        return self._frame(self._lazy)

    def head(self, n: int = 5) -> Any:
        """Read the first `n` rows, as `compute` does."""
        return self._frame(self._lazy.head(n))

    def tail(self, n: int = 5) -> Any:
        """Read the last `n` rows, as `compute` does."""
        return self._frame(self._lazy.tail(n))

    def to_iter(
        self,
        columns: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> Iterator[Any]:
        """Give the partitions one by one, as `compute` gives frames.

        Args:
            columns: these columns only.
            indices: these partitions only, in this order.
            shuffle: in an order that `seed` decides.
            seed: of the shuffle; 0 by default.

        Raises:
            ColumnNotFoundError: a column that is not there.
            DataError: a partition that is not there.
        """
        names = [columns] if isinstance(columns, str) else list(columns or self._schema.names)
        for name in names:
            if name not in self._schema:
                raise ColumnNotFoundError(
                    f"no column {name!r} in the data{nearest(name, self._schema.names)}"
                )
        lens = self.partition_lens
        order = list(range(len(lens)) if indices is None else indices)
        for index in order:
            if not 0 <= index < len(lens):
                raise DataError(f"there is no partition {index}; there are {len(lens)}")
        if shuffle:
            numbers = pl.Series(order, dtype=pl.Int64)
            order = numbers.sample(fraction=1.0, shuffle=True, seed=seed or 0).to_list()
        for index in order:
            start = sum(lens[:index])
            yield self._frame(self._lazy.select(names).slice(start, lens[index]))

    def repartition(
        self, npartitions: int | None = None, partition_size: int | str | None = None
    ) -> Self:
        """Give the same rows with another number, or another size in bytes, of partitions."""
        if (npartitions is None) == (partition_size is None):
            raise DataError("repartition takes either npartitions or partition_size")
        out = copy.copy(self)
        out._set_partitions(npartitions, partition_size, None)
        return out

    def infer_schema(self, n: int = 1) -> Schema:
        """Give the schema; it is always known, `n` is accepted for NVTabular's sake."""
        return self._schema

    def sample_dtypes(self, n: int = 1) -> dict[str, str]:
        """Give column -> dtype; `n` is accepted for NVTabular's sake."""
        return {column.name: column.dtype for column in self._schema}
