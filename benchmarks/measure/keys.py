"""Keys and vectors of the table benchmarks: the same in every process that builds them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "KINDS", "Kind", "block", "indices", "keys_of", "zipf_ranks"]

Kind = Literal["uniform", "zipf", "missing"]
KINDS: tuple[Kind, ...] = ("uniform", "zipf", "missing")

# Vectors repeat after this many keys: any process can say what a key's vector is without holding
# them all, and making them stays out of the measured time.
BLOCK = 65_536


def keys_of(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the key of each index: SplitMix64, a bijection, so distinct and pseudo-random int64.

    Source: Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators.
    """
    word = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (word ^ (word >> np.uint64(31))).view(np.int64)


def zipf_ranks(
    rng: np.random.Generator, count: int, cardinality: int, exponent: float = 1.05
) -> NDArray[np.int64]:
    """Draw ranks 0 .. cardinality - 1 with weight near (rank + 1) ** -exponent.

    By the inverse of the continuous distribution's integral: no table of `cardinality` entries.
    """
    power = 1.0 - exponent
    u = rng.random(count)
    ranks: NDArray[np.float64] = ((float(cardinality + 1) ** power - 1.0) * u + 1.0) ** (1 / power)
    below: NDArray[np.int64] = np.minimum(ranks.astype(np.int64) - 1, cardinality - 1)
    return below


def indices(kind: Kind, count: int, cardinality: int, seed: int) -> NDArray[np.int64]:
    """Draw `count` indices of keys: of `cardinality` present ones, or of as many absent ones."""
    rng = np.random.default_rng(seed)
    if kind == "zipf":
        return zipf_ranks(rng, count, cardinality)
    start = cardinality if kind == "missing" else 0
    return rng.integers(start, start + cardinality, count)


def block(dim: int) -> NDArray[np.float32]:
    """Give the vectors: key number i has row i % BLOCK of this; float32 [BLOCK, dim], normal."""
    return np.random.default_rng(dim).standard_normal((BLOCK, dim), np.float32)
