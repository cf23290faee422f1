"""On a real GPU: random use against the reference, and large batches with the CPU's bits.

`pytest -m gpu` runs this and the `gpu` backend of the whole suite.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import settings
from numpy.testing import assert_array_equal

from emberline.kernels import Adagrad, DeviceError, HashTable, Normal
from tests.kernels.test_state_machine import TableMachine

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def device() -> None:
    """Skip visibly where there is no GPU, with the reason."""
    try:
        HashTable(1, device="gpu")
    except DeviceError as reason:
        pytest.skip(str(reason))


class GpuMachine(TableMachine):
    """The same random use, against the same reference."""

    make_table = staticmethod(partial(HashTable, device="gpu"))


TestGpuTable = GpuMachine.TestCase
TestGpuTable.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("dim", [1, 16, 129])
def test_large_batches_equal_the_cpu_bit_for_bit(dim: int) -> None:
    rng = np.random.default_rng(dim)
    ours, theirs = (
        HashTable(dim, device=device, optimizer=Adagrad(), initializer=Normal())
        for device in ("gpu", "cpu")
    )
    for step in range(4):
        keys = rng.integers(-(2**63), 2**63 - 1, 100_000)
        keys[::2] = rng.zipf(1.3, 50_000)
        gradients = rng.normal(size=(100_000, dim)).astype(np.float32)
        rows = [table.find_or_insert(keys) for table in (ours, theirs)]
        assert_array_equal(rows[0], rows[1])
        for table in (ours, theirs):
            table.apply_gradients(rows[0], gradients, step=step)
        assert ours.erase(keys[:30_000]) == theirs.erase(keys[:30_000])
    for name, array in vars(ours.export()).items():
        assert_array_equal(array, getattr(theirs.export(), name), err_msg=name)
    ours.check()
