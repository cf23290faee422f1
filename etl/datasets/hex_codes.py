"""Categorical values as in the Criteo files: distinct ranks to distinct 8-digit hex strings."""

import functools

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

__all__ = ["hex_series", "mixed_codes"]


def mixed_codes(ranks: npt.NDArray[np.int64], key: int) -> npt.NDArray[np.uint32]:
    """Scramble ranks by a bijection of the 32-bit integers, another one for each key.

    Args:
        ranks: int64 [n], 0 <= rank < 2**32.
        key: 0 <= key < 2**32.

    Returns:
        uint32 [n]; distinct ranks get distinct codes: xor, odd factors and xor-shifts each invert.

    Source: the finaliser of MurmurHash3 (Appleby, public domain).
    """
    x = ranks.astype(np.uint32)
    x ^= np.uint32(key)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return x


def hex_series(name: str, codes: npt.NDArray[np.uint32], null: npt.NDArray[np.bool_]) -> pl.Series:
    """Write codes as 8 lower-case hex digits.

    The strings are laid out as one Arrow buffer by table look-up, 4 digits at a time: formatting in
    Python would cost a hundred times as much.

    Args:
        name: of the column.
        codes: uint32 [n].
        null: bool [n], true where the value is missing.
    """
    n = len(codes)
    digits = np.empty((n, 2), dtype=np.uint32)
    digits[:, 0] = _four_digits()[codes >> np.uint32(16)]
    digits[:, 1] = _four_digits()[codes & np.uint32(0xFFFF)]
    # LargeString: 64-bit offsets, so that no chunk size overflows them.
    offsets = np.arange(0, 8 * n + 1, 8, dtype=np.int64)
    valid = np.packbits(~null, bitorder="little")
    array = pa.LargeStringArray.from_buffers(
        n, pa.py_buffer(offsets), pa.py_buffer(digits), pa.py_buffer(valid)
    )
    return pl.Series(name, array, dtype=pl.String)


@functools.cache
def _four_digits() -> npt.NDArray[np.uint32]:
    """The text of every 16-bit number, four bytes read as one uint32 [65536]."""
    numbers = np.arange(65_536, dtype=np.uint32)
    nibbles = numbers[:, None] >> np.array([12, 8, 4, 0], dtype=np.uint32) & np.uint32(15)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[nibbles]
    text: npt.NDArray[np.uint32] = digits.view(np.uint32).ravel()
    return text
