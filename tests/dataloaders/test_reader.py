"""Threads: the same batches whatever they do, errors where they belong, and none of them left."""

import gc
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberline.dataloaders.column import Column
from emberline.dataloaders.files import find_files
from emberline.dataloaders.plan import Plan
from emberline.dataloaders.reader import BatchReader
from emberline.dataloaders.source import ParquetSource
from emberline.errors import DataError

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


def our_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("emberline")]


class Watched:
    """A source that counts, waits and fails as it is told."""

    def __init__(self, files: Any, columns: list[str] | None = None) -> None:
        self.source = ParquetSource(find_files(files), columns=columns)
        self.formats = self.source.formats
        self.row_group_rows = self.source.row_group_rows
        self.begun: list[int] = []
        self.wait: Callable[[int], None] = lambda _: None
        self.broken: dict[int, BaseException] = {}

    def read(self, index: int) -> dict[str, list[Column]]:
        self.begun.append(index)
        self.wait(index)
        if index in self.broken:
            raise self.broken[index]
        return self.source.read(index)

    def reader(
        self,
        batch_size: int,
        *,
        threads: int = 2,
        budget_bytes: int = 2**30,
        batches: Sequence[range] | None = None,
        **order: Any,
    ) -> BatchReader:
        plan = Plan(row_group_rows=self.row_group_rows, batch_size=batch_size, **order)
        chosen = [range(plan.num_batches)] if batches is None else batches
        source: Any = self
        return BatchReader(
            source, plan.epoch(0), chosen, threads=threads, budget_bytes=budget_bytes
        )


def flat(batches: Iterator[dict[str, Any]]) -> list[dict[str, list[Any]]]:
    return [{name: array.tolist() for name, array in batch.items()} for batch in batches]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layout=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=3),
    batch_size=st.integers(1, 20),
    shuffle=st.booleans(),
    window=st.integers(1, 4),
    budget_bytes=st.sampled_from([1, 500, 2**20]),
    threads=st.sampled_from([1, 2, 7]),
    data=st.data(),
)
def test_threads_change_nothing(
    write_files: WriteFiles,
    layout: list[list[int]],
    batch_size: int,
    shuffle: bool,
    window: int,
    budget_bytes: int,
    threads: int,
    data: st.DataObject,
) -> None:
    source = Watched(write_files(layout))
    # Some row groups take longer, so that they end in another order than they began.
    slow = data.draw(st.sets(st.integers(0, 5), max_size=3))
    order: dict[str, Any] = {"shuffle": shuffle, "window_row_groups": window}
    expected = flat(source.reader(batch_size, threads=0, **order))
    source.wait = lambda index: time.sleep(0.002 * (index in slow))
    reader = source.reader(batch_size, threads=threads, budget_bytes=budget_bytes, **order)
    assert flat(reader) == expected
    assert our_threads() == []
    numbers = sorted(data.draw(st.sets(st.integers(0, len(expected) - 1))))
    runs = [range(number, number + 1) for number in numbers]
    some = source.reader(
        batch_size, threads=threads, budget_bytes=budget_bytes, batches=runs, **order
    )
    assert flat(some) == [expected[number] for number in numbers]


def test_a_large_row_group_is_decoded_on_several_threads(
    write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    read_row_group = pq.ParquetFile.read_row_group

    def noted(self: Any, *args: Any, use_threads: bool, **more: Any) -> Any:
        seen.append(use_threads)
        return read_row_group(self, *args, use_threads=use_threads, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    source = Watched(write_files([[40]]))
    expected = flat(source.reader(7, shuffle=True))
    assert seen == [False]
    monkeypatch.setattr("emberline.dataloaders.source._LARGE_ROW_GROUP_VALUES", 40 * 7)
    assert flat(source.reader(7, shuffle=True)) == expected
    assert seen == [False, True]


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_error_comes_at_the_batch_that_needs_the_row_group(
    write_files: WriteFiles, threads: int, shuffle: bool
) -> None:
    source = Watched(write_files([[4] * 10]))
    order: dict[str, Any] = {"shuffle": shuffle, "window_row_groups": 2, "seed": 1}
    expected = flat(source.reader(6, threads=0, **order))
    plan = Plan(row_group_rows=source.row_group_rows, batch_size=6, **order).epoch(0)
    # The fourth window of two row groups, and of the unshuffled order row group 6.
    window = 3 if shuffle else 6
    group = int(plan.window_groups(window)[-1])
    first = int(plan.starts[window]) // 6
    source.broken[group] = ValueError("broken disk")
    reader = source.reader(6, threads=threads, **order)
    got = flat(itertools.islice(reader, first))
    assert got == expected[:first]
    with pytest.raises(ValueError, match="broken disk"):
        next(reader)
    assert list(reader) == []
    assert our_threads() == []


def test_the_first_of_two_errors(write_files: WriteFiles) -> None:
    source = Watched(write_files([[4] * 6]))
    source.broken = {1: KeyError("first"), 2: KeyError("second")}
    source.wait = lambda index: time.sleep(0.05 * (index == 1))  # so it is raised after the second
    reader = source.reader(4, threads=2)
    next(reader)
    with pytest.raises(KeyError, match="first"):
        next(reader)
    assert our_threads() == []


def test_an_error_frees_what_was_read(write_files: WriteFiles) -> None:
    source = Watched(write_files([[4] * 6]))
    source.broken = {3: ValueError("broken")}
    reader = source.reader(4, threads=2)
    with pytest.raises(ValueError, match="broken"):
        list(reader)
    assert reader.ahead.num_ready == 0


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("slack", [1, 3])
def test_the_budget_holds(write_files: WriteFiles, threads: int, slack: int) -> None:
    source = Watched(write_files([[10] * 30]), ["id"])
    # Batches of 80 bytes in windows of one row group; `slack` windows may be ahead.
    reader = source.reader(10, threads=threads, budget_bytes=slack * 80)
    for taken in range(30):
        deadline = time.monotonic() + 5
        expected = min(taken + slack, 30)
        while reader.ahead.num_ready < expected - taken and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.003)
        assert len(source.begun) == expected
        next(reader)
    assert list(reader) == []


def test_a_window_over_the_budget_is_read_when_it_is_needed(write_files: WriteFiles) -> None:
    source = Watched(write_files([[10] * 6]), ["id"])
    reader = source.reader(10, budget_bytes=1, shuffle=True, window_row_groups=3)
    for taken in range(6):
        next(reader)
        time.sleep(0.01)
        assert len(source.begun) == (3 if taken < 2 else 6)
    assert list(reader) == []


def test_close_waits_for_the_step_in_hand(write_files: WriteFiles) -> None:
    source = Watched(write_files([[4] * 10]))
    reader = source.reader(2, threads=3)
    next(reader)
    reader.close()
    reader.close()
    assert our_threads() == []
    source.wait = lambda index: time.sleep(0.05)
    with source.reader(2, threads=3) as again:
        pass
    assert our_threads() == []
    assert again.ahead.num_ready == 0


def test_threads_end_when_the_last_batch_is_made(write_files: WriteFiles) -> None:
    reader = Watched(write_files([[4] * 10])).reader(4)
    batches = list(itertools.islice(reader, 10))  # a consumer that counts never asks for the end
    deadline = time.monotonic() + 5
    while our_threads() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (len(batches), our_threads()) == (10, [])
    reader.close()


@pytest.mark.parametrize("cycle", [False, True])
def test_collected_means_closed(write_files: WriteFiles, cycle: bool) -> None:
    held: list[Any] = [Watched(write_files([[4] * 40])).reader(2, budget_bytes=10)]
    next(held[0])
    if cycle:
        held.append(held)
    assert len(our_threads()) == 2
    del held
    gc.collect()
    assert our_threads() == []


def test_threads_hold_no_reader_while_they_wait_or_work(write_files: WriteFiles) -> None:
    # The reader is dropped while its threads are inside a step.
    source = Watched(write_files([[4] * 40]))
    release = threading.Event()
    source.wait = lambda index: (release.wait(5), None)[1]
    reader = source.reader(2, threads=2)
    while len(source.begun) < 2:
        time.sleep(0.001)
    threading.Timer(0.05, release.set).start()
    del reader
    assert our_threads() == []


def in_child(reader: BatchReader, queue: Any) -> None:
    try:
        next(reader)
    except DataError as error:
        queue.put(str(error))
    reader.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what is tested
def test_a_forked_child_is_told(write_files: WriteFiles) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with Watched(write_files([[4] * 10])).reader(2, budget_bytes=1) as reader:
        next(reader)
        deadline = time.monotonic() + 5
        while reader.ahead.num_ready < 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        child = context.Process(target=in_child, args=(reader, queue))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert "begun before the process forked" in queue.get()
        assert len(list(reader)) == 19
    assert os.getpid() != child.pid


def test_waiting_is_counted(write_files: WriteFiles) -> None:
    source = Watched(write_files([[4] * 4]))
    source.wait = lambda index: time.sleep(0.02)
    slow_reader = source.reader(4, threads=1)
    list(slow_reader)
    assert slow_reader.ahead.waited_s > 0.06
    source.wait = lambda index: None
    slow_consumer = source.reader(4, threads=1, budget_bytes=1)
    for _ in slow_consumer:
        time.sleep(0.02)
    assert slow_consumer.ahead.idle_s > 0.02
    assert slow_consumer.ahead.rows_out == 0
