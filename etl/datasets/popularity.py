"""Which movies a user rates: Zipf-like popularity without repetition."""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["distinct_ranks"]

_SHIFT = 40.0  # the first movie gets about 0.3 % of the ratings, as in ml-25m


def distinct_ranks(
    user: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    draw: npt.NDArray[np.float64],
    movies: int,
) -> npt.NDArray[np.int64]:
    """Turn uniform draws into Zipf-like popularity ranks that are distinct within each user.

    Ranks follow 1 / (rank + shift), by inverting its distribution function. Within a user, sorted, a
    rank that is taken moves on to the next free one: no rejection loop, one sort a chunk. A busy
    user thus fills the head, as busy users of MovieLens do.

    Returns:
        int64 [n] in 0 .. movies - 1; row i keeps its place, so order tells nothing of the rank.
    """
    n = len(user)
    scale = math.log1p(movies / _SHIFT)
    rank = np.minimum((_SHIFT * np.expm1(draw * scale)).astype(np.int64), movies - 1)
    # One 64-bit word to sort: user, rank, row. 20 bits hold the movies, 24 the rows of a chunk.
    assert n < 2**24, "a chunk has at most 2**24 rows"
    packed = (user << 44) | (rank << 24) | np.arange(n, dtype=np.int64)
    packed.sort()
    row = packed & (2**24 - 1)
    # user * 2**32 keeps the running maximum of one user below every value of the next.
    place = np.arange(n, dtype=np.int64)
    key = (user << 32) + ((packed >> 24) & (2**20 - 1))
    pushed = np.maximum.accumulate(key - place) + place - (user << 32)
    # The last ones of a user must leave room up to the end of the list.
    stop = np.repeat(np.cumsum(counts), counts)
    out = np.empty(n, dtype=np.int64)
    out[row] = np.minimum(pushed, movies - stop + place)
    return out
