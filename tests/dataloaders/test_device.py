"""The path over an array namespace, with NumPy in CuPy's place, and what a missing GPU says."""

import gc
import itertools
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberline.dataloaders import DeviceError, Loader, ParquetFileError
from emberline.dataloaders import device as module
from emberline.errors import DataError

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]
NUMBERS = ["id", "price", "flag", "tags", "pair"]


class Namespace:
    """What the path may use of an array library; anything else is an AttributeError."""

    asarray = staticmethod(np.array)  # a copy, as an upload is
    arange = staticmethod(np.arange)
    concatenate = staticmethod(np.concatenate)
    cumsum = staticmethod(np.cumsum)
    searchsorted = staticmethod(np.searchsorted)
    zeros = staticmethod(np.zeros)


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CuPy with one device, whose arrays are NumPy's."""
    cupy: Any = types.ModuleType("cupy")
    cupy.__dict__.update({n: getattr(Namespace, n) for n in vars(Namespace) if n[0] != "_"})
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError)
    cupy.cuda = types.SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)


LAYOUTS = st.lists(
    st.lists(st.integers(0, 7), min_size=1, max_size=4), min_size=1, max_size=3
).filter(lambda layout: sum(map(sum, layout)) > 0)


def assert_equal(batch: Any, expected: Any) -> None:
    for arrays, others in zip(batch, expected, strict=True):
        arrays = arrays if isinstance(arrays, dict) else {"": arrays}
        others = others if isinstance(others, dict) else {"": others}
        assert list(arrays) == list(others)
        for name, array in arrays.items():
            assert array.dtype == others[name].dtype
            assert array.tolist() == others[name].tolist()


@pytest.mark.usefixtures("namespace")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layout=LAYOUTS,
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    window=st.integers(1, 5),
    world=st.integers(1, 3),
    prefetch_bytes=st.sampled_from([0, 2**20]),
    data=st.data(),
)
def test_the_batches_are_those_of_the_cpu(
    write_files: WriteFiles,
    layout: list[list[int]],
    batch_size: int,
    shuffle: bool,
    window: int,
    world: int,
    prefetch_bytes: int,
    data: st.DataObject,
) -> None:
    arguments: dict[str, Any] = {
        "shuffle": shuffle,
        "window_row_groups": window,
        "columns": NUMBERS,
        "targets": "label",
        "world": world,
        "rank": data.draw(st.integers(0, world - 1)),
        "prefetch_bytes": prefetch_bytes,
    }
    files = write_files(layout)
    cpu = Loader(files, batch_size, **arguments)
    gpu = Loader(files, batch_size, device="gpu", threads=2, **arguments)
    stop = data.draw(st.integers(0, len(cpu)))
    expected = list(cpu.epochs(2))
    first = list(itertools.islice(gpu, stop))
    again = Loader(files, batch_size, device="gpu", threads=1, **arguments)
    again.load_state_dict(gpu.state_dict())
    rest = list(again) if stop < len(cpu) else []
    seen = [*first, *rest, *again]
    assert len(seen) == len(expected)
    for batch, other in zip(seen, expected, strict=True):
        assert_equal(batch, other)


@pytest.mark.usefixtures("namespace")
def test_it_says_where_it_is_and_peeks(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[5, 4]]), 4, columns=NUMBERS, device="gpu")
    assert loader.device == "gpu"
    assert "of 4 on the gpu, in file order" in repr(loader)
    assert_equal(loader.peek()[:1], Loader(write_files([[5, 4]]), 4, columns=NUMBERS).peek()[:1])
    with pytest.raises(DataError, match=r"device='gpu': a tf.data.Dataset is made on the host"):
        loader.as_tf_dataset()
    with pytest.raises(DataError, match=r"Keras takes no CuPy arrays; give it loader.as_tensors"):
        loader.as_pydataset()
    (x, _), *_ = loader.as_tensors()
    assert x["id"].numpy().tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("namespace")
def test_what_a_gpu_cannot_hold(write_files: WriteFiles) -> None:
    with pytest.raises(DeviceError, match="column 'name' holds object values, device 'gpu' has"):
        Loader(write_files([[5]]), 4, device="gpu")


@pytest.mark.usefixtures("namespace")
def test_a_broken_file_is_named_and_no_thread_stays(write_files: WriteFiles) -> None:
    files = write_files([[5], [5], [5]])
    loader = Loader(files, 4, columns=NUMBERS, device="gpu", threads=3)
    files[1].write_bytes(b"PAR1")
    batches = iter(loader)
    assert next(batches)[0]["id"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ParquetFileError, match=r"part_1.parquet, row group 0 cannot be read"):
        next(batches)
    abandoned = iter(Loader(files[2:], 4, columns=NUMBERS, device="gpu"))
    next(abandoned)
    del abandoned
    gc.collect()


def test_without_cupy(monkeypatch: pytest.MonkeyPatch, write_files: WriteFiles) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"needs CuPy, which does not import .*emberline\[gpu\]"):
        Loader(write_files([[5]]), 4, device="gpu")
    assert Loader(write_files([[5]]), 4).device == "cpu"


@pytest.mark.usefixtures("namespace")
def test_without_a_device() -> None:
    runtime = sys.modules["cupy"].cuda.runtime
    runtime.getDeviceCount = lambda: 0
    with pytest.raises(DeviceError, match="CuPy finds none; check CUDA_VISIBLE_DEVICES"):
        module.open_device("gpu")

    def fails() -> int:
        raise RuntimeError("cudaErrorInsufficientDriver")

    runtime.getDeviceCount = fails
    with pytest.raises(DeviceError, match=r"reaches none \(cudaErrorInsufficientDriver\)"):
        module.open_device("gpu")


def test_an_unknown_device(write_files: WriteFiles) -> None:
    with pytest.raises(DataError, match=r"device is 'gup'; did you mean 'gpu'?"):
        Loader(write_files([[5]]), 4, device="gup")  # type: ignore[arg-type]
