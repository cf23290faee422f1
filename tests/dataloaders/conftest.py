"""Small parquet files with every layout that a batch knows."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def make_table(first: int, rows: int) -> pa.Table:
    """Rows numbered from `first`; every value follows from the row's number."""
    ids = np.arange(first, first + rows)
    # Every fourth list is empty, and every other one of those is null.
    lists = [None if i % 8 == 0 else [int(i) * 10 + k for k in range(i % 4)] for i in ids]
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "price": pa.array(ids / 2, pa.float32()),
            "flag": pa.array([bool(i % 3 == 0) for i in ids], pa.bool_()),
            "name": pa.array([f"n{i}" for i in ids], pa.string()),
            "tags": pa.array(lists, pa.list_(pa.int64())),
            "pair": pa.array([[i, -i] for i in ids], pa.list_(pa.int32(), 2)),
            "label": pa.array(ids % 2, pa.int8()),
        }
    )


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[[Sequence[Sequence[int]]], list[Path]]:
    """Write files of the given row-group sizes; rows are numbered through all of them."""

    def write(layout: Sequence[Sequence[int]]) -> list[Path]:
        first = 0
        files = []
        for number, sizes in enumerate(layout):
            files.append(tmp_path / f"part_{number}.parquet")
            with pq.ParquetWriter(files[-1], make_table(0, 0).schema) as writer:
                for size in sizes:
                    writer.write_table(make_table(first, size), row_group_size=max(size, 1))
                    first += size
        return files

    return write


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Every test of the loader ends with as many of our threads as it began with: none."""
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("emberline")] == []
