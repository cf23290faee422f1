"""The SIMT interpreter itself: it runs kernels rightly and sees what would hang a GPU."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels.gpu.primitives import exclusive_sum, sort_by_row
from emberline.kernels.gpu.source import kernel_names
from tests.kernels.simt.launcher import SimtLauncher, compiler, library

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")

COUNTS = [1, 31, 32, 33, 511, 512, 513, 1023, 1024, 1025, 3000]


def direct(kernel: str, *words: int, grid: int = 1, block: int = 64, seed: int = 1) -> str | None:
    """Launch on a given grid; give what went wrong."""
    arguments = np.array([*words, 0], np.uint64)
    wrong = library().simt_launch(
        kernel.encode(), grid, block, ctypes.c_void_p(arguments.ctypes.data), seed, 0
    )
    return None if wrong is None else wrong.decode()


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("broken_divergent", "a warp's lanes met at different intrinsics"),
        ("broken_early_exit", "deadlock: block 0, thread"),
        ("broken_mask", "a warp intrinsic's mask is not all lanes"),
        ("no_such", "no such kernel"),
    ],
)
def test_what_would_hang_is_an_error(kernel: str, message: str) -> None:
    for seed in range(1, 6):
        wrong = direct(kernel, seed=seed)
        assert wrong is not None
        assert message in wrong
    # The next kernel runs as if nothing had been.
    values = SimtLauncher(1).upload(np.ones(40, np.uint32))
    launcher = SimtLauncher(2)
    counters = launcher.zeros(8, np.uint64)
    assert_array_equal(exclusive_sum(launcher, values, 40, counters), np.arange(40))


def test_schedules_differ() -> None:
    """A race on a sum loses updates in some schedules and in others not."""
    sums = set()
    for seed in range(1, 40):
        total = np.zeros(1, np.uint64)
        assert direct("broken_race", total.ctypes.data, block=32, seed=seed) is None
        sums.add(int(total[0]))
    assert len(sums) > 5
    assert max(sums) == 32


def test_every_kernel_is_known() -> None:
    for name in kernel_names():
        assert library().simt_signature(name.encode()) is not None


@pytest.mark.parametrize("count", COUNTS)
def test_exclusive_sum(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 9, count).astype(np.uint32)
    for seed in range(3):
        launcher = SimtLauncher(seed)
        counters = launcher.zeros(8, np.uint64)
        sums = exclusive_sum(launcher, launcher.upload(values), count, counters)
        assert_array_equal(sums, np.cumsum(values) - values)
        assert counters[1] == values.sum()


@pytest.mark.parametrize("row_limit", [1, 255, 256, 70_000])
@pytest.mark.parametrize("count", COUNTS)
def test_sort_is_stable(count: int, row_limit: int) -> None:
    rows = np.random.default_rng(count).integers(-1, row_limit, count)
    expected = np.argsort(np.where(rows < 0, row_limit, rows), kind="stable")
    launcher = SimtLauncher(count + row_limit)
    words = sort_by_row(launcher, launcher.upload(rows), count, row_limit)
    assert_array_equal(words & np.uint64(2**32 - 1), expected)
    assert_array_equal(words >> np.uint64(32), np.where(rows < 0, row_limit, rows)[expected])


def test_launches_are_checked() -> None:
    launcher = SimtLauncher()
    array = launcher.zeros(4, np.int64)
    bad: list[Callable[[], None]] = [
        lambda: launcher.launch("emberline_row_keys", 1, array, 4.0, array),
        lambda: launcher.launch("emberline_row_keys", 1, array, 4),
        lambda: launcher.launch("emberline_no", 1),
    ]
    for call in bad:
        with pytest.raises(AssertionError, match="emberline_"):
            call()
