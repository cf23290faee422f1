// Admission without a list of candidates: a count-min sketch of fixed size, and a coin per batch.
#pragma once

#include "hash.cuh"

namespace emberline {

// The cell of a key in line `line` of a sketch of `width` cells a line (Cormode, Muthukrishnan
// 2005); the lines' hashes are independent.
EMBERLINE_HD i64 sketch_cell(i64 key, i64 line, u64 seed, i64 width) {
  const u64 stream = mix64(seed + (static_cast<u64>(line) + 1) * kGolden);
  const u64 hash = mix64(static_cast<u64>(key) ^ stream);
  return line * width + static_cast<i64>(hash % static_cast<u64>(width));
}

// At least how often the key was counted: the least of its cells.
EMBERLINE_HD u32 sketch_estimate(const u8* cells, i64 key, u64 seed, i64 width, i64 depth) {
  u32 least = 0xFF;
  for (i64 line = 0; line < depth; ++line) {
    const u32 cell = cells[sketch_cell(key, line, seed, width)];
    least = cell < least ? cell : least;
  }
  return least;
}

// base^exponent by squaring: multiplications only, in one order, so equal bits everywhere.
EMBERLINE_HD double whole_power(double base, u64 exponent) {
  double power = 1.0;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) power *= base;
    base *= base;
  }
  return power;
}

// The number whose `degree`-th power is `value`, by bisection in [0, 1].
EMBERLINE_HD double whole_root(double value, u64 degree) {
  double low = 0.0;
  double high = 1.0;
  for (int i = 0; i < 64; ++i) {
    const double middle = 0.5 * (low + high);
    if (whole_power(middle, degree) < value) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return high;
}

// Uniform in [0, 1), a pure function of (seed, key, step).
EMBERLINE_HD double admission_draw(u64 seed, i64 key, u64 step) {
  const u64 stream = mix64(static_cast<u64>(key) ^ mix64(seed + kGolden));
  return static_cast<double>(mix64(stream + (step + 1) * kGolden) >> 11) * 0x1p-53;
}

}  // namespace emberline
