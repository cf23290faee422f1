"""How weights of two bytes are rounded: from the two neighbours of a number, in exact arithmetic.

Nothing here is shared with the kernels, which add to bits and cut them off.
"""

import numpy as np
from numpy.typing import NDArray

from tests.reference_hash import GOLDEN, MASK, mix64

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Least exponent, bits after the point, largest number.
TYPES = {
    "bfloat16": (-126, 7, (2 - 2.0**-7) * 2.0**127),
    "float16": (-14, 10, 65504.0),
}


def neighbours(row_type: str, magnitudes: Doubles) -> tuple[Doubles, Doubles]:
    """The largest number of the type that is not above, and its distance to the next."""
    least, bits, _ = TYPES[row_type]
    exponents = np.maximum(np.frexp(magnitudes)[1] - 1, least)
    spacing = np.ldexp(1.0, exponents - bits)
    return np.floor(magnitudes / spacing) * spacing, spacing


def _magnitudes(values: Floats) -> Doubles:
    return np.abs(np.where(np.isfinite(values), values, np.float32(0))).astype(np.float64)


def _rounded(row_type: str, values: Floats, up: NDArray[np.bool_]) -> Floats:
    below, spacing = neighbours(row_type, _magnitudes(values))
    rounded = np.minimum(below + np.where(up, spacing, 0), TYPES[row_type][2])
    signed = np.where(np.signbit(values), -rounded, rounded).astype(np.float32)
    return np.where(np.isfinite(values), signed, values)


def _fractions(row_type: str, values: Floats) -> tuple[Doubles, Doubles]:
    """What is cut off, in units of the spacing, and the whole units below."""
    magnitudes = _magnitudes(values)
    below, spacing = neighbours(row_type, magnitudes)
    return (magnitudes - below) / spacing, below / spacing


def nearest(row_type: str, values: Floats) -> Floats:
    """Round to the nearest number, ties to even; never to infinity."""
    if row_type == "float32":
        return values.copy()
    fraction, units = _fractions(row_type, values)
    up = (fraction > 0.5) | ((fraction == 0.5) & (units % 2 == 1))
    return _rounded(row_type, values, up)


def stochastic(row_type: str, values: Floats, stream: int) -> Floats:
    """Round up with the probability of what would be cut off; lane i takes the stream's i-th."""
    if row_type == "float32":
        return values.copy()
    fraction, _ = _fractions(row_type, values)
    draws = np.array([lane_bits(stream, lane) >> 8 for lane in range(len(values))], np.float64)
    return _rounded(row_type, values, np.floor(fraction * 2**24) + draws >= 2**24)


def rounding_stream(seed: int, key: int, step: int, frequency: int) -> int:
    """64 random bits of one update of a row; `frequency` is the row's before it."""
    row = mix64((key & MASK) ^ mix64(seed + 2 * GOLDEN))
    return mix64(row + (frequency << 32 | step))


def lane_bits(stream: int, lane: int) -> int:
    """32 of them for a lane: the finalizer of MurmurHash3."""
    x = ((stream + lane * 0x9E3779B9) ^ (stream >> 32)) % 2**32
    x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
    x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
    return x ^ x >> 16
