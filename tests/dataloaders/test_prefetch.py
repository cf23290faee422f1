import gc
import subprocess
import sys
import threading
import time
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.dataloaders.prefetch import Prefetch

NAME = "emberline-test"


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == NAME]


def ahead(items: Generator[int, None, None], budget_bytes: int = 100) -> Prefetch[int]:
    return Prefetch(items, size_bytes=lambda n: n, budget_bytes=budget_bytes, name=NAME)


@given(sizes=st.lists(st.integers(0, 9), max_size=30), budget_bytes=st.integers(1, 12))
def test_order_and_end(sizes: list[int], budget_bytes: int) -> None:
    items = ahead((n for n in sizes), budget_bytes)
    assert list(items) == sizes
    assert list(items) == []
    items.close()
    assert alive() == []


@given(sizes=st.lists(st.integers(0, 9), min_size=2, max_size=20), budget_bytes=st.integers(0, 20))
def test_never_over_the_budget(sizes: list[int], budget_bytes: int) -> None:
    made: list[int] = []
    taken: list[int] = []

    def items() -> Generator[int, None, None]:
        for n in sizes:
            # What waits when the next one is begun, without the one last made (still in hand).
            waiting = sum(made[len(taken) : -1])
            assert waiting <= max(budget_bytes, *sizes)
            made.append(n)
            yield n

    prefetch = ahead(items(), budget_bytes)
    while (n := next(prefetch, None)) is not None:
        taken.append(n)
    assert taken == sizes


def test_stops_at_the_budget() -> None:
    made: list[int] = []

    def items() -> Generator[int, None, None]:
        while True:
            made.append(4)
            yield 4

    prefetch = ahead(items(), 12)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) == 4  # 12 bytes wait, one more is in hand
    assert next(prefetch) == 4
    prefetch.close()
    assert alive() == []
    assert list(prefetch) == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise KeyError("broken")

    prefetch = ahead(items())
    assert next(prefetch) == 1
    with pytest.raises(KeyError, match="broken"):
        next(prefetch)
    assert list(prefetch) == []
    prefetch.close()
    assert alive() == []


def test_close_closes_the_generator() -> None:
    closed = threading.Event()

    def items() -> Generator[int, None, None]:
        try:
            while True:
                yield 60
        finally:
            closed.set()

    prefetch = ahead(items())
    next(prefetch)
    prefetch.close()
    prefetch.close()
    assert closed.is_set()
    assert alive() == []


def test_collected_means_closed() -> None:
    def items() -> Generator[int, None, None]:
        while True:
            yield 60

    prefetch = ahead(items())
    assert alive() == [NAME]
    del prefetch
    gc.collect()
    assert alive() == []


def test_closing_a_stage_closes_the_one_before() -> None:
    release = threading.Event()

    def slow() -> Generator[int, None, None]:
        while True:
            yield 60
            release.wait(0.05)

    first = ahead(slow())
    second = Prefetch(
        (n for n in first), size_bytes=lambda n: n, budget_bytes=60, name=NAME, upstream=first
    )
    assert next(second) == 60
    second.close()
    assert alive() == []


def test_the_interpreter_exits_with_an_iterator_left_open() -> None:
    program = """
from emberline.dataloaders.prefetch import Prefetch
def items():
    while True:
        yield 1
left_open = Prefetch(items(), size_bytes=lambda n: n, budget_bytes=3, name="emberline-test")
print(next(left_open))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
