"""Which array library makes the batches."""

from importlib import import_module
from typing import Any, Literal

from emberline.dataloaders.errors import DeviceError
from emberline.errors import DataError, nearest

__all__ = ["Device", "open_device"]

Device = Literal["auto", "cpu", "gpu"]


def open_device(device: str) -> Any:
    """Give CuPy for "gpu", and None for the CPU.

    "auto" is the CPU: the path over CuPy has not been measured on a GPU yet.

    Raises:
        DeviceError: CuPy or a CUDA device is missing, naming which.
        DataError: an unknown device.
    """
    if device in ("auto", "cpu"):
        return None
    if device != "gpu":
        raise DataError(f"device is {device!r}{nearest(str(device), ('auto', 'cpu', 'gpu'))}")
    try:
        cupy = import_module("cupy")
    except ImportError as reason:
        raise DeviceError(
            f"device 'gpu' needs CuPy, which does not import ({reason}); install it with "
            "pip install 'emberline[gpu]', or use 'cpu'"
        ) from reason
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as reason:
        raise DeviceError(
            f"device 'gpu' needs a CUDA device, and CuPy reaches none ({reason}); check the driver "
            "with nvidia-smi, or use 'cpu'"
        ) from reason
    if count == 0:
        raise DeviceError(
            "device 'gpu' needs a CUDA device, and CuPy finds none; check CUDA_VISIBLE_DEVICES, or "
            "use 'cpu'"
        )
    return cupy
