// The sum of a row's squares, in an order that one thread and a warp of 32 share.
//
// Lane i is added to partial sum i % 32, in ascending order; then the partial sums are added
// pairwise, 16 apart, 8 apart, ... 1 apart. In a warp, thread t sums the lanes t, t + 32, ... and
// then adds `__shfl_xor_sync(~0u, sum, offset)` for offset 16, 8, 4, 2, 1: the same bits in every
// thread, as addition commutes. On the CPU the 32 sums are vectors.
#pragma once

#include "platform.cuh"

namespace emberline {

constexpr i64 kPartialSums = 32;

EMBERLINE_HD float square_sum(const float* values, i64 dim) {
  float partial[kPartialSums] = {};
  const i64 whole = dim / kPartialSums * kPartialSums;
  for (i64 start = 0; start < whole; start += kPartialSums) {
    for (i64 i = 0; i < kPartialSums; ++i) partial[i] += values[start + i] * values[start + i];
  }
  for (i64 i = 0; i < dim - whole; ++i) partial[i] += values[whole + i] * values[whole + i];
  for (i64 i = 0; i < 16; ++i) partial[i] += partial[i + 16];
  for (i64 i = 0; i < 8; ++i) partial[i] += partial[i + 8];
  for (i64 i = 0; i < 4; ++i) partial[i] += partial[i + 4];
  for (i64 i = 0; i < 2; ++i) partial[i] += partial[i + 2];
  return partial[0] + partial[1];
}

}  // namespace emberline
