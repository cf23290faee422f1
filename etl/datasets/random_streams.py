"""Counter-based random numbers: every draw is a function of its key and its index alone.

Two kinds. `uniforms` is a Philox stream per (seed, domain, chunk): a chunk is made alone and in
any order. `hashed` maps ids to numbers by SplitMix64, so the parameters of a user or of a
value are recomputed from the id without any state.

Only raw 64-bit words are taken from NumPy: the streams of its distributions (`normal`,
`permutation`) may change between NumPy versions, those of its bit generators may not (NEP 19).

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox);
Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
"""

import math

import numpy as np
import numpy.typing as npt

__all__ = [
    "SEED_LIMIT",
    "hashed",
    "hashed_normals",
    "hashed_uniforms",
    "normals",
    "stream_key",
    "uniforms",
]

SEED_LIMIT = 2**63

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
# Four 16-bit pieces: their sum has mean 4 * 65535 / 2 and variance 4 * (65536**2 - 1) / 12.
_PIECES_MEAN = 4 * 65535 / 2
_PIECES_STD = math.sqrt(4 * (65536**2 - 1) / 12)


def stream_key(seed: int, *words: int) -> int:
    """Mix a seed and the words that name a stream into one 64-bit key.

    Args:
        seed: 0 <= seed < 2**63.
        words: what the stream is for; another order gives another key.
    """
    key = _mix_int(seed)
    for word in words:
        key = _mix_int((key + _GOLDEN * (word + 1)) & _MASK)
    return key


def uniforms(
    seed: int, domain: int, chunk: int, count: int, streams: int
) -> list[npt.NDArray[np.float64]]:
    """Independent uniform numbers for one chunk.

    Returns:
        `streams` arrays, float64 [count], in [0, 1), multiples of 2**-53.
    """
    key = np.array([stream_key(seed, domain), chunk], dtype=np.uint64)
    words = np.random.Philox(key=key).random_raw(count * streams).reshape(streams, count)
    return [_unit(row) for row in words]


def normals(seed: int, domain: int, chunk: int, count: int) -> npt.NDArray[np.float64]:
    """Approximately normal numbers for one chunk, float64 [count] (see `hashed_normals`)."""
    key = np.array([stream_key(seed, domain), chunk], dtype=np.uint64)
    return _sum_of_pieces(np.random.Philox(key=key).random_raw(count))


def hashed(key: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 of each id under a key: uint64 [n]; equal ids get equal words."""
    z = ids.astype(np.uint64) * np.uint64(_GOLDEN)
    z += np.uint64(key)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def hashed_uniforms(key: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """A uniform number in [0, 1) per id, float64 [n]."""
    return _unit(hashed(key, ids))


def hashed_normals(key: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """An approximately normal number per id, float64 [n]; mean 0, variance 1, |z| < 3.47.

    The sum of four uniforms, in integers: unlike Box-Muller it calls no `log` and no `cos`, whose
    last bit differs between math libraries, so every machine plants the same parameters.
    """
    return _sum_of_pieces(hashed(key, ids))


def _unit(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _sum_of_pieces(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    low = np.uint64(0xFFFF)
    total = words & low
    for shift in (16, 32, 48):
        total += (words >> np.uint64(shift)) & low
    return (total.astype(np.float64) - _PIECES_MEAN) / _PIECES_STD


def _mix_int(word: int) -> int:
    """One SplitMix64 step on a Python integer."""
    z = (word + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
