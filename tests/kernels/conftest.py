"""The `make_table` fixture: one suite, run on every backend."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emberline.kernels import DeviceError, HashTable
from tests.kernels.simt.launcher import compiler
from tests.kernels.simt.table import simt_table
from tests.reference import ReferenceTable

Table = HashTable | ReferenceTable
MakeTable = Callable[..., Table]


GPU = pytest.param("gpu", marks=pytest.mark.gpu)
BACKENDS = ["reference", "cpu", "cpu-2", "cpu-7", "simt", GPU]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Name the backend; a visible skip where this build has none of that name."""
    name = str(request.param)
    if name == "gpu":
        try:
            HashTable(1, device="gpu")
        except DeviceError as reason:
            pytest.skip(str(reason))
    if name == "simt" and compiler() is None:
        pytest.skip("the SIMT interpreter needs a C++ compiler on the PATH")
    return name


@pytest.fixture
def make_table(backend: str) -> MakeTable:
    """Make a table of the backend, with `HashTable`'s arguments."""

    def make(dim: int = 3, **settings: Any) -> Table:
        if backend == "reference":
            return ReferenceTable(dim, **settings)
        if backend == "simt":
            return simt_table(dim, **settings)
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
