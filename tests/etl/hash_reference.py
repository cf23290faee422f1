"""XXH64 with seed 0, one value at a time, written from its specification; slow and obvious."""

import math
import struct

MASK = (1 << 64) - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def rotl(x: int, bits: int) -> int:
    return (x << bits | x >> (64 - bits)) & MASK


def lane_round(acc: int, word: int) -> int:
    return rotl((acc + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data: bytes) -> int:
    if len(data) >= 32:
        lanes = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        whole = len(data) // 32 * 32
        for i in range(0, whole, 32):
            words = struct.unpack("<4Q", data[i : i + 32])
            lanes = [lane_round(a, w) for a, w in zip(lanes, words, strict=True)]
        h = sum(rotl(a, bits) for a, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            h = ((h ^ lane_round(0, lane)) * P1 + P4) & MASK
    else:
        h, whole = P5, 0
    h, rest = (h + len(data)) & MASK, data[whole:]
    while len(rest) >= 8:
        h = (rotl(h ^ lane_round(0, int.from_bytes(rest[:8], "little")), 27) * P1 + P4) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        h = (rotl(h ^ int.from_bytes(rest[:4], "little") * P1 & MASK, 23) * P2 + P3) & MASK
        rest = rest[4:]
    for byte in rest:
        h = rotl(h ^ byte * P5 & MASK, 11) * P1 & MASK
    for shift, factor in ((33, P2), (29, P3), (32, 1)):
        h = (h ^ h >> shift) * factor & MASK
    return h


def hash_of(value: object) -> int:
    """Hash a Python value as its column's leaf is hashed."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return 0
    if isinstance(value, str):
        return xxh64(value.encode())
    if isinstance(value, bytes):
        return xxh64(value)
    if isinstance(value, int):
        return xxh64((value & MASK).to_bytes(8, "little"))
    assert isinstance(value, float)
    return xxh64(struct.pack("<d", 0.0 if value == 0 else value))


def combined(values: list[object]) -> int:
    h = hash_of(values[0])
    for value in values[1:]:
        h = xxh64(h.to_bytes(8, "little")) ^ hash_of(value)
    return h
