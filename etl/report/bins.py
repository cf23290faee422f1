"""Bins of numbers: those of a picture, and those that drift is measured in."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Bins", "drift_bins", "picture_bins"]

_COUNT = 32
_DECILES = 10


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Intervals; the first and the last also take what lies beyond them.

    Attributes:
        edges: ascending, one more than bins.
        scale: "linear", "log" (equal widths of log(1 + x)), or "each" (one integer a bin).
    """

    edges: tuple[float, ...]
    scale: Literal["linear", "log", "each"] = "linear"

    @property
    def count(self) -> int:
        """The number of bins."""
        return len(self.edges) - 1

    def counts(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Count numbers, no NaN among them; int64 [count]."""
        inner = np.asarray(self.edges[1:-1])
        places = np.searchsorted(inner, numbers, side="right")
        return np.bincount(places, minlength=self.count).astype(np.int64)


def picture_bins(
    sample: npt.NDArray[np.float64], low: float, high: float, *, whole: bool
) -> Bins | None:
    """Choose bins that show the shape of a distribution.

    Args:
        sample: ascending; may be empty.
        low: the smallest finite value of all.
        high: the largest.
        whole: whether all values are integers.

    Returns:
        One bin a value for up to 40 integers in a row; equal widths of log(1 + x) where values are not
        negative and the largest is far from the middle; else equal widths between the 0.5th and the
        99.5th percentile, since one outlier would leave a single bar. None without values.
    """
    if not sample.size:
        return None
    if whole and high - low < 40:
        first, last = int(low), int(high)
        return Bins(edges=tuple(x - 0.5 for x in range(first, last + 2)), scale="each")
    if low == high:
        return Bins(edges=(low - 0.5, low + 0.5))
    if low >= 0 and high > 20 * (float(np.median(sample)) + 1):
        steps = np.expm1(np.linspace(np.log1p(low), np.log1p(high), _COUNT + 1))
        if whole:  # narrower than 1 they would hold nothing
            steps = np.unique(np.round(steps)) - 0.5
            steps[-1] = max(steps[-1], high + 0.5)
        return Bins(edges=tuple(steps.tolist()), scale="log")
    start, end = (float(np.quantile(sample, q)) for q in (0.005, 0.995))
    if not start < end:
        start, end = low, high
    return Bins(edges=tuple(np.linspace(start, end, _COUNT + 1).tolist()))


def drift_bins(sample: npt.NDArray[np.float64]) -> Bins | None:
    """Give bins of about a tenth of the sample each; fewer where values repeat, None without values."""
    if not sample.size:
        return None
    inner = np.unique(np.quantile(sample, np.arange(1, _DECILES) / _DECILES, method="higher"))
    return Bins(edges=(float(sample[0]), *inner.tolist(), float(max(sample[-1], inner[-1]))))
