// Hashing of keys: one 64-bit mix gives the first chunk, the stride and the tag.
#pragma once

#include "platform.cuh"

namespace emberline {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014; constants: Stafford's variant 13).
// A bijection of 64-bit words, so different keys never share a full hash.
EMBERLINE_HD u64 mix64(u64 x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBull;
  x ^= x >> 31;
  return x;
}

constexpr u64 kGolden = 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio: SplitMix64's increment

// `mask` is all ones, but for tests that force collisions by keeping only its low bits. The
// constant makes key 0 hash to something else than 0.
EMBERLINE_HD u64 hash_key(i64 key, u64 mask) {
  return mix64(static_cast<u64>(key) + kGolden) & mask;
}

// Tags 0 and 1 say EMPTY and TOMBSTONE; a live slot's tag is never one of them.
constexpr u16 kEmpty = 0;
constexpr u16 kTombstone = 1;

EMBERLINE_HD u16 hash_tag(u64 hash) {
  const u16 tag = static_cast<u16>(hash >> 48);
  return tag > kTombstone ? tag : static_cast<u16>(tag + 2);
}

// Double hashing over a power of two of chunks: an odd stride visits each chunk exactly once.
EMBERLINE_HD u64 hash_stride(u64 hash) { return (hash >> 32) | 1; }

}  // namespace emberline
