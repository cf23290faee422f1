"""What the device table asks of a device: memory, copies, and kernels by name."""

from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

__all__ = ["DeviceArray", "Launcher"]

# A one-dimensional array in device memory, of the launcher's own class.
DeviceArray = Any


class Launcher(Protocol):
    """Runs the kernels of `source.kernel_source`, in order, each after the one before has ended.

    `CupyLauncher` does it on a GPU; the tests have one that interprets the kernels.
    """

    @property
    def device(self) -> int:
        """The number of the device, as CUDA counts them."""

    def zeros(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """Allocate zeros, aligned to 128 bytes; MemoryError where the device has no room."""

    def empty(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """Allocate without writing; MemoryError where the device has no room."""

    def upload(self, array: NDArray[Any]) -> DeviceArray:
        """Copy a contiguous array to the device, flattened."""

    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Copy to the host, after all kernels launched before."""

    def adopt(self, array: Any) -> DeviceArray:
        """Share another library's device array through DLPack, without a copy."""

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copy the whole of `source` to the start of `target`."""

    def address(self, array: DeviceArray) -> int:
        """Give an array's device address."""

    def launch(self, kernel: str, work: int, *arguments: Any, one_block: bool = False) -> None:
        """Run a kernel on about `work` threads; its loops stride, so any number is right.

        Args:
            kernel: its name.
            work: how many threads would have something to do.
            arguments: device arrays or None for pointers, int for i64, float for float.
            one_block: the kernel is a single block's work.
        """
