"""One epoch of each contender: what it took, and optionally what it delivered."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks.loader_figures.rows import batch_digest
from benchmarks.measure.peer import Peer
from emberline.dataloaders import Batch, Loader

__all__ = ["Epoch", "decode_polars", "decode_pyarrow", "merlin_epoch", "our_epoch"]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch.

    Attributes:
        first_s: from the first line of the user's code to the first batch.
        epoch_s: from the call of `iter` to the end.
        cpu_s: processor time of all threads, opening included.
        rows: delivered.
        digest: of all rows (see `batch_digest`), 0 if it was not asked for.
    """

    first_s: float
    epoch_s: float
    cpu_s: float
    rows: int
    digest: int


def our_epoch(
    open_loader: Callable[[], Loader],
    *,
    check: bool = False,
    take: Callable[[Batch], Any] | None = None,
) -> Epoch:
    """Run one epoch of a loader that is opened here.

    Args:
        open_loader: opens it.
        check: compute the digest; the times then include that.
        take: what the consumer does with a batch.
    """
    busy, began = time.process_time(), time.perf_counter()
    loader = open_loader()
    started = time.perf_counter()
    first = 0.0
    rows = digest = 0
    for batch in loader:
        first = first or time.perf_counter()
        if take is not None:
            take(batch)
        x, y = batch
        assert isinstance(y, np.ndarray), "the data have one target"
        rows += len(y)
        if check:
            digest += batch_digest({**x, "label": y})[1]
    ended = time.perf_counter()
    return Epoch(
        first_s=first - began,
        epoch_s=ended - started,
        cpu_s=time.process_time() - busy,
        rows=rows,
        digest=digest % 2**64,
    )


def merlin_epoch(peer: Peer, dataset: Path, batch_size: int, *, check: bool = False) -> Epoch:
    """Let merlin's process run one."""
    answer = peer.call("epoch", directory=str(dataset), batch_size=batch_size, check=check)
    return Epoch(**answer)


def decode_polars(dataset: Path) -> float:
    """Decode all files with Polars on all cores, keeping nothing; seconds."""
    began = time.perf_counter()
    for file in sorted(dataset.glob("*.parquet")):
        pl.read_parquet(file)
    return time.perf_counter() - began


def decode_pyarrow(dataset: Path) -> float:
    """Decode all row groups with pyarrow on all cores, keeping nothing; seconds."""
    began = time.perf_counter()
    for table in _row_groups(dataset):
        del table
    return time.perf_counter() - began


def _row_groups(dataset: Path) -> Iterator[Any]:
    for file in sorted(dataset.glob("*.parquet")):
        with pq.ParquetFile(file, pre_buffer=True) as parquet:
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group, use_threads=True)
