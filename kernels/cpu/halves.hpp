// Whole rows of two-byte weights, on the vector units that this machine has.
#pragma once

#include "half.cuh"
#include "simd.hpp"

namespace emberline {

// How rows of one type are read and written; all null for float32, which is only copied. `from`
// and `to` have `dim` values each and do not overlap. Every instruction set gives the same bits.
struct HalfRows {
  void (*read)(const u16* from, i64 dim, float* to);
  void (*write_nearest)(const float* from, i64 dim, u16* to);
  void (*write_stochastic)(const float* from, i64 dim, u64 stream, u16* to);  // see half.cuh
};

// The functions of a level, which the machine must have.
HalfRows half_rows(RowType type, Simd level);

// Lanes of a buffer on the stack for rows that are worked on in pieces; even.
constexpr i64 kHalfBlock = 256;

}  // namespace emberline
