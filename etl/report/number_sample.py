"""Evenly spaced values of a column of numbers: what bins are laid out by."""

import numpy as np
import numpy.typing as npt

__all__ = ["NumberSample"]

LIMIT = 65_536


class NumberSample:
    """Every k-th value, k the smallest power of two that keeps at most `LIMIT` of them."""

    def __init__(self) -> None:
        self._stride = 1
        self._seen = 0
        self._held: npt.NDArray[np.float64] = np.empty(0)

    def update(self, numbers: npt.NDArray[np.float64]) -> None:
        """Take what falls on the grid."""
        first = -self._seen % self._stride
        self._held = np.concatenate([self._held, numbers[first :: self._stride]])
        self._seen += numbers.size
        while self._held.size > LIMIT:
            self._held = self._held[::2].copy()
            self._stride *= 2

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The sample, finite values only, in ascending order."""
        return np.sort(self._held[np.isfinite(self._held)])
