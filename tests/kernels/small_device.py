"""A device of the SIMT interpreter whose memory ends, after bytes or after allocations."""

from typing import Any

import numpy as np

from emberline.kernels import HashTable
from emberline.kernels.gpu.host_table import HostTable
from tests.kernels.simt.launcher import SimtLauncher


class SmallDevice(SimtLauncher):
    """A device whose memory ends; every allocation goes through `zeros`."""

    left = 1 << 60
    allocations_left = 1 << 60

    def zeros(self, count: int, dtype: Any) -> Any:
        self.left -= count * np.dtype(dtype).itemsize
        self.allocations_left -= 1
        if self.left < 0 or self.allocations_left < 0:
            raise MemoryError("the device is full")
        return super().zeros(count, dtype)


def on_device(device: SmallDevice, dim: int, **settings: Any) -> HashTable:
    """Make a table on such a device."""
    table = HashTable(dim, **settings)
    table._table = HostTable(table._settings, device)
    table._device = "simt"
    return table
