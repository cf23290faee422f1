"""A B A B: contenders take turns, so that a noisy machine is noisy for all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Samples", "interleave"]


@dataclass(frozen=True)
class Samples:
    """What one contender measured, one value a round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return float(np.median(self.values))

    @property
    def spread(self) -> float:
        """(largest - smallest) / median: 0 is a quiet machine."""
        return (max(self.values) - min(self.values)) / self.median

    def scaled(self, factor: float) -> "Samples":
        """The same in another unit."""
        return Samples(tuple(value * factor for value in self.values))


def interleave(contenders: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, Samples]:
    """Call every contender once a round, in turn, after one round that is not counted.

    Args:
        contenders: name -> a call that times itself, checks its answer and returns its rate.
        rounds: counted rounds.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, measure in contenders.items():
            value = measure()
            if number > 0:
                values[name].append(value)
    return {name: Samples(tuple(found)) for name, found in values.items()}
