"""The `make_table` fixture: one suite, run on every backend."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emberline.kernels import HashTable
from tests.reference import ReferenceTable

Table = HashTable | ReferenceTable
MakeTable = Callable[..., Table]


BACKENDS = ["reference", "cpu", "cpu-2", "cpu-7", pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Name the backend; a visible skip where this build has none of that name."""
    name = str(request.param)
    if name == "gpu":
        pytest.skip("this version has no GPU table: device='gpu' raises DeviceError")
    return name


@pytest.fixture
def make_table(backend: str) -> MakeTable:
    """Make a table of the backend, with `HashTable`'s arguments."""

    def make(dim: int = 3, **settings: Any) -> Table:
        if backend == "reference":
            return ReferenceTable(dim, **settings)
        device, _, threads = backend.partition("-")
        if not threads:
            return HashTable(dim, device=device, threads=1, **settings)
        # Parts of three keys, so that small batches are cut up too.
        return HashTable(dim, device=device, threads=int(threads), _grain=3, **settings)

    return make


def ints(*values: int) -> NDArray[np.int64]:
    """Spell an int64 vector."""
    return np.array(values, np.int64)


def floats(*values: Any) -> NDArray[np.float32]:
    """Spell a float32 array."""
    return np.array(values, np.float32)
