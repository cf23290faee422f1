"""How far two distributions over the same bins are apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Drift", "measure"]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Distances between training and validation.

    Attributes:
        psi: population stability index, sum of (q - p) ln(q / p); half a row is added to every bin, so
            that empty ones stay finite.
        jensen_shannon: Jensen-Shannon divergence in bits, 0 (the same) to 1 (nothing in common).
        by_chance: the psi that two samples of these sizes from one distribution have on average,
            (bins - 1) (1 / n + 1 / m).
    """

    psi: float
    jensen_shannon: float
    by_chance: float

    @property
    def verdict(self) -> Literal["stable", "shifted", "far apart"]:
        """The usual reading of psi: below 0.1, below 0.25, and above; what chance gives is taken off."""
        beyond = self.psi - self.by_chance
        return "stable" if beyond < 0.1 else "shifted" if beyond < 0.25 else "far apart"


def measure(train: Sequence[int], valid: Sequence[int]) -> Drift | None:
    """Compare counts over the same bins; None where one side has no rows.

    >>> measure([50, 50], [50, 50]).psi
    0.0
    >>> measure([1, 0], [0, 1]).jensen_shannon
    1.0
    """
    n, m = sum(train), sum(valid)
    # Bins that neither has say nothing.
    pairs = [(a, b) for a, b in zip(train, valid, strict=True) if a or b]
    if not n or not m:
        return None
    bins = len(pairs)
    psi = divergence = 0.0
    for a, b in pairs:
        p, q = (a + 0.5) / (n + 0.5 * bins), (b + 0.5) / (m + 0.5 * bins)
        psi += (q - p) * math.log(q / p)
        p, q = a / n, b / m
        for share in (p, q):
            if share:
                divergence += 0.5 * share * math.log2(2 * share / (p + q))
    return Drift(
        psi=psi,
        jensen_shannon=min(max(divergence, 0.0), 1.0),
        by_chance=(bins - 1) * (1 / n + 1 / m),
    )
