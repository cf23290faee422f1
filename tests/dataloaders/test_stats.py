"""What `stats()` says, and the bar at a terminal."""

import io
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emberline.dataloaders import Loader
from emberline.dataloaders.source import ParquetSource

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


def test_nothing_before_the_first_iteration(write_files: WriteFiles) -> None:
    stats = Loader(write_files([[4]]), 2).stats()
    assert (stats.rows, stats.elapsed_s, stats.rows_per_s, stats.wait_share) == (0, 0, 0, 0)


@pytest.mark.parametrize("prefetch_bytes", [0, 2**20])
def test_counts(write_files: WriteFiles, prefetch_bytes: int) -> None:
    loader = Loader(
        write_files([[7, 6]]), 4, columns=["tags", "id"], targets="label",
        prefetch_bytes=prefetch_bytes, threads=3,
    )  # fmt: skip
    size_bytes = 0
    for number, (x, y) in enumerate(loader):
        size_bytes += sum(array.nbytes for array in x.values()) + y.nbytes
        stats = loader.stats()
        assert stats.batches == number + 1
        assert stats.rows == min(4 * (number + 1), 13)
        assert stats.size_bytes == size_bytes
    assert stats.threads == (3 if prefetch_bytes else 0)
    done = loader.stats()
    time.sleep(0.01)
    assert loader.stats() == done  # the clock stands
    assert (done.batches_ready, done.rows_ahead) == (0, 0)
    list(itertools.islice(loader, 1))
    assert loader.stats().rows == 4  # of the iteration begun last


def test_counts_whatever_the_columns_become(write_files: WriteFiles) -> None:
    files = write_files([[7, 6]])
    loader = Loader(
        files, 4, columns=["id"], transforms=[lambda x: {"pair": np.stack([x["id"]] * 2, axis=1)}],
        rank=1, world=3,
    )  # fmt: skip
    loader.set_epoch(1)
    taken = sum(len(x["pair"]) for x, _ in loader)
    stats = loader.stats()
    assert (stats.rows, 16 * stats.rows) == (taken, stats.size_bytes)
    assert stats.batches == len(loader)


def test_a_slow_reader_makes_the_consumer_wait(
    write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ParquetSource.read

    def slowly(self: ParquetSource, index: int) -> Any:
        time.sleep(0.05)
        return read(self, index)

    monkeypatch.setattr(ParquetSource, "read", slowly)
    loader = Loader(write_files([[4] * 4]), 4, columns=["id"], threads=1)
    list(loader)
    stats = loader.stats()
    assert 0.15 < stats.waited_s <= stats.elapsed_s
    assert stats.wait_share > 0.5
    assert stats.readers_waited_s < 0.1


def test_a_slow_consumer_makes_the_readers_wait(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[4] * 6]), 4, columns=["id"], threads=1, prefetch_bytes=1)
    for number, _ in enumerate(loader):
        time.sleep(0.05)
        if number == 1:
            assert loader.stats().rows_ahead <= 8
    stats = loader.stats()
    assert stats.readers_waited_s > 0.15
    assert stats.elapsed_s > 0.3
    assert stats.waited_s < stats.elapsed_s / 2


def test_the_queue(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[4] * 6]), 4, columns=["id"])
    batches: Any = iter(loader)
    next(batches)
    deadline = time.monotonic() + 10
    while loader.stats().batches_ready < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (loader.stats().batches_ready, loader.stats().rows_ahead) == (5, 20)
    batches.close()
    assert loader.stats().batches_ready == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals(write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_files([[40] * 5])
    monkeypatch.setenv("TERM", "xterm")
    for terminal, wanted, said in (
        (Terminal(), True, True),
        (Terminal(), False, False),
        (io.StringIO(), True, False),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            loader = Loader(files, 10, progress=wanted)
            loader.set_epoch(3)
            for _ in loader:
                time.sleep(0.02)
        text = terminal.getvalue()
        assert ("epoch 3" in text and "/20" in text and "M rows/s" in text) is said
        assert bool(text) is said
