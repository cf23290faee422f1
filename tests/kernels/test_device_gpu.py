"""`device="gpu"`: what is missing is said; a stand-in for CuPy sees that its launcher is right.

The stand-in takes what CuPy takes, refuses what CuPy would take for something else, and runs the
kernels on the SIMT interpreter. With a real device, `pytest -m gpu` runs the suite.
"""

import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emberline.kernels import (
    Adagrad,
    CountAdmission,
    DeviceError,
    HashTable,
    TableFeature,
    TableGroup,
)
from emberline.kernels.gpu import cupy_launcher
from emberline.kernels.gpu.cupy_launcher import CupyLauncher
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.gpu.source import kernel_source
from tests.kernels.conftest import ints
from tests.kernels.simt.launcher import SimtLauncher, compiler


class Refusal(RuntimeError):
    """In place of CuPy's CUDARuntimeError."""


class Stream:
    """Counts how deep it is entered."""

    def __init__(self) -> None:
        self.depth = self.waited = 0

    def __enter__(self) -> Self:
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1

    def synchronize(self) -> None:
        self.waited += 1


class DeviceMemory:
    """In place of cupy.cuda.MemoryPointer."""

    def __init__(self, array: "Array") -> None:
        self.array = array
        self.ptr = array.ctypes.data

    def copy_from_device_async(self, source: "DeviceMemory", size: int, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        self.array.view(np.uint8)[:size] = source.array.view(np.uint8)[:size]


class Array(np.ndarray[Any, np.dtype[Any]]):
    """In place of cupy.ndarray, with the methods that NumPy's has not."""

    @property
    def data(self) -> Any:
        return DeviceMemory(self)

    def set(self, host: Any) -> None:
        assert type(host) is np.ndarray
        assert host.dtype == self.dtype
        self[...] = host

    def get(self) -> Any:
        return np.array(self)


class Device:
    """In place of cupy.cuda.Device."""

    id = 0
    compute_capability = "90"
    attributes: ClassVar[dict[str, int]] = {"MultiProcessorCount": 2}

    def __init__(self, number: int = 0) -> None:
        assert number == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def stand_in(stream: Stream) -> Any:
    """Make a module that takes the place of CuPy."""
    simt = SimtLauncher(5)
    fake: Any = ModuleType("cupy")

    def array(found: Any) -> Array:
        assert stream.depth, "outside of the table's stream"
        made: Array = found.view(Array)
        return made

    def argument(value: Any) -> Any:
        if isinstance(value, Array):
            return value
        assert type(value) in (np.int64, np.uint64, np.float32), f"CuPy would misread {value!r}"
        if isinstance(value, np.uint64):
            assert value == 0
            return None
        return float(value) if isinstance(value, np.float32) else int(value)

    class RawModule:
        def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
            assert code == kernel_source()
            assert "--fmad=false" in options

        def get_function(self, name: str) -> Any:
            def call(grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
                assert stream.depth, "outside of the table's stream"
                assert block == (256,)
                assert 1 <= grid[0] <= 32
                one = name in ("emberline_scan_totals", "emberline_select_narrow")
                assert not one or grid == (1,)
                simt.launch(name, 1, *map(argument, args), one_block=one)

            return call

    fake.RawModule = RawModule
    fake.zeros = lambda count, dtype: array(simt.zeros(count, dtype))
    fake.empty = lambda count, dtype: array(simt.empty(count, dtype))
    fake.from_dlpack = lambda shared: array(np.from_dlpack(shared))
    fake.cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=Refusal),
        Device=Device,
        Stream=SimpleNamespace(null=stream),
    )
    return fake


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the stand-in where `import cupy` finds it."""
    fake = stand_in(Stream())
    monkeypatch.setitem(sys.modules, "cupy", fake)
    cupy_launcher._compiled.cache_clear()
    yield fake
    cupy_launcher._compiled.cache_clear()


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        DeviceError, match=r"table 'item': device 'gpu' needs CuPy, .*emberline\[gpu\].*use 'cpu'"
    ):
        HashTable(2, name="item", device="gpu")


def test_without_a_device(cupy: Any) -> None:
    def refuse() -> int:
        raise Refusal("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    cupy.cuda.runtime.getDeviceCount = refuse
    with pytest.raises(DeviceError, match=r"CuPy reaches none \(cudaErrorInsuff.*nvidia-smi"):
        HashTable(2, device="gpu")
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    with pytest.raises(DeviceError, match="CuPy finds none; check CUDA_VISIBLE_DEVICES"):
        HashTable(2, device="gpu")


def test_with_an_old_device(cupy: Any) -> None:
    class Old(Device):
        compute_capability = "61"

    cupy.cuda.Device = Old
    with pytest.raises(DeviceError, match=r"capability 7\.0 or newer, this device has 6\.1"):
        HashTable(2, device="gpu")


def test_importing_the_package_does_not_import_cupy() -> None:
    command = "import sys, emberline.kernels; assert 'cupy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")
def test_the_launcher_is_right(cupy: Any) -> None:
    ours = HashTable(3, device="gpu", seed=2**64 - 1, optimizer=Adagrad(), capacity=100)
    theirs = HashTable(3, device="cpu", seed=2**64 - 1, optimizer=Adagrad())
    assert ours.device == "gpu"
    assert "device='gpu'" in repr(ours)
    rng = np.random.default_rng(1)
    for step in range(4):
        keys = rng.integers(-30, 30, 50)
        gradients = rng.normal(size=(50, 6)).astype(np.float32)[:, 1:4]
        for table in (ours, theirs):
            rows = table.find_or_insert(keys)
            table.apply_gradients(rows, gradients, step=step)
            table.erase(keys[:5])
    for name, array in vars(ours.export()).items():
        assert_array_equal(array, getattr(theirs.export(), name), strict=True)
    ours.check()
    assert cupy.cuda.Stream.null.depth == 0


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")
def test_the_launcher_is_right_for_policies(cupy: Any) -> None:
    named: dict[str, Any] = {
        "max_rows": 40,
        "on_full": "evict",
        "admission": CountAdmission(threshold=2),
        "name": "item",
    }
    ours, theirs = (HashTable(3, device=device, **named) for device in ("gpu", "cpu"))
    features = [
        TableFeature(name="seen", table="item", combiner="mean"),
        TableFeature(name="this", table="item"),
    ]
    groups = [TableGroup([table], features) for table in (ours, theirs)]
    rng = np.random.default_rng(2)
    for step in range(4):
        keys, gradients = rng.integers(0, 60, 45), rng.normal(size=(15, 6)).astype(np.float32)
        results = []
        for table, group in zip((ours, theirs), groups, strict=True):
            offsets = [np.arange(16) * 2, None]
            vectors, rows = group.forward([keys[:30], keys[30:]], offsets, insert=True)
            group.backward(rows, gradients, offsets, step=step)
            default = np.full(3, 7, np.float32)
            done = [vectors, rows, table.gather(rows, default=default), table.restrict(30)]
            table.decay_frequency(0.5)
            done += [table.expire(older_than=1), *table.changed_since(0)]
            table.shrink()
            results.append([*done, table.stats().rejected, table.memory_usage().admission])
        for mine, other in zip(*results, strict=True):
            assert_array_equal(mine, other)
    for name, array in vars(ours.export()).items():
        assert_array_equal(array, getattr(theirs.export(), name), strict=True)
    ours.check()


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")
def test_another_stream(cupy: Any) -> None:
    table = HashTable(2, device="gpu")
    host = table._table
    assert isinstance(host, HostTable)
    launcher = host.on_device.storage.launcher
    assert isinstance(launcher, CupyLauncher)
    first = launcher.stream
    launcher.stream = first  # what was queued is waited for
    assert first.waited == 1
    calls = host.device_calls()
    assert_array_equal(calls.find_or_insert(ints(4, 4, 9)), ints(0, 0, 1))
