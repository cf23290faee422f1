"""Kernels and memory on a GPU, through CuPy."""

import logging
import threading
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emberline.kernels.errors import DeviceError
from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.source import COMPILE_OPTIONS, kernel_names, kernel_source

__all__ = ["CupyLauncher", "open_gpu"]

_LOG = logging.getLogger("emberline.kernels")
_THREADS = 256  # EMBERLINE_KERNEL in device/simt.cuh promises no more
_BLOCKS_EACH = 16  # blocks per multiprocessor; beyond, loops stride
_OLDEST = 70  # compute capability of 16-bit atomicCAS


def open_gpu(name: str) -> "CupyLauncher":
    """Give a launcher on CuPy's current device.

    Args:
        name: the table's, for the message.

    Raises:
        DeviceError: CuPy or a usable device is missing, naming which.
    """
    try:
        cupy = import_module("cupy")
    except ImportError as reason:
        raise DeviceError(
            f"table {name!r}: device 'gpu' needs CuPy, which does not import ({reason}); install "
            "it with pip install 'emberline[gpu]', or use 'cpu'"
        ) from reason
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as reason:
        raise DeviceError(
            f"table {name!r}: device 'gpu' needs a CUDA device, and CuPy reaches none ({reason}); "
            "check the driver with nvidia-smi, or use 'cpu'"
        ) from reason
    if count == 0:
        raise DeviceError(
            f"table {name!r}: device 'gpu' needs a CUDA device, and CuPy finds none; check "
            "CUDA_VISIBLE_DEVICES, or use 'cpu'"
        )
    capability = str(cupy.cuda.Device().compute_capability)
    if int(capability) < _OLDEST:
        raise DeviceError(
            f"table {name!r}: device 'gpu' needs compute capability 7.0 or newer, this device has "
            f"{capability[:-1]}.{capability[-1]}; use 'cpu'"
        )
    return CupyLauncher(cupy)


class CupyLauncher:
    """A `Launcher` on CuPy's current device, with memory from CuPy's pool.

    Args:
        cupy: the module.
        stream: all work is queued there, in order; None is the default stream. Who shares arrays
            with the table must use the same stream: CuPy's pool reuses memory within a stream
            without waiting for others.
    """

    def __init__(self, cupy: Any, stream: Any = None) -> None:
        self._cupy = cupy
        self._stream = cupy.cuda.Stream.null if stream is None else stream
        device = cupy.cuda.Device()
        self._most_blocks = _BLOCKS_EACH * int(device.attributes["MultiProcessorCount"])
        self._device = int(device.id)
        self._functions = _compiled(self._device)

    @property
    def device(self) -> int:
        """The number of the device."""
        return self._device

    @property
    def stream(self) -> Any:
        """The CuPy stream that all work is queued on."""
        return self._stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self._stream.synchronize()  # what is queued comes first, whatever the new stream does
        self._stream = stream

    def zeros(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """Allocate zeros; CuPy's OutOfMemoryError is a MemoryError."""
        with self._stream:
            return self._cupy.zeros(count, dtype)

    def empty(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """Allocate without writing."""
        with self._stream:
            return self._cupy.empty(count, dtype)

    def upload(self, array: NDArray[Any]) -> DeviceArray:
        """Copy an array to the device, flattened."""
        with self._stream:
            copy = self._cupy.empty(array.size, array.dtype)
            copy.set(np.ascontiguousarray(array).reshape(-1))
            return copy

    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Copy to the host; waits for the stream."""
        with self._stream:
            host: NDArray[Any] = array.get()
            return host

    def adopt(self, array: Any) -> DeviceArray:
        """Share another library's array, or a DLPack capsule, without a copy.

        TensorFlow's `__dlpack__` takes no stream: give `tf.experimental.dlpack.to_dlpack(tensor)`.
        """
        with self._stream:
            return self._cupy.from_dlpack(array)

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copy the whole of `source` to the start of `target`."""
        if source.nbytes:
            target.data.copy_from_device_async(source.data, source.nbytes, self._stream)

    def address(self, array: DeviceArray) -> int:
        """Give an array's device address."""
        return int(array.data.ptr)

    def launch(self, kernel: str, work: int, *arguments: Any, one_block: bool = False) -> None:
        """Queue a kernel; CuPy raises what the launch reports."""
        blocks = 1 if one_block else max(1, min(-(-work // _THREADS), self._most_blocks))
        words = tuple(map(_argument, arguments))
        with self._stream:
            self._functions[kernel]((blocks,), (_THREADS,), words)


def _argument(value: Any) -> Any:
    # CuPy takes a Python float for a double and has nothing for a null pointer.
    if value is None:
        return np.uint64(0)
    if isinstance(value, float):
        return np.float32(value)
    return np.int64(value - 2**64 if value >= 2**63 else value) if isinstance(value, int) else value


@cache
def _compiled(device: int) -> dict[str, Any]:
    """Compile all kernels for a device, or take them from CuPy's cache on disk."""
    cupy = import_module("cupy")
    notice = threading.Timer(
        0.5,
        _LOG.warning,
        ["compiling the GPU kernels of the hash table: a few seconds, once on this machine"],
    )
    notice.daemon = True
    notice.start()  # from the cache it takes less, and nothing is said
    try:
        with cupy.cuda.Device(device):
            module = cupy.RawModule(code=kernel_source(), options=COMPILE_OPTIONS)
            return {name: module.get_function(name) for name in kernel_names()}
    finally:
        notice.cancel()
