// The exact sums of a batch of floats and of their squares, as exact_moments.py describes them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "arrow_column.hpp"

// Rounding towards zero is one instruction from AVX on, a call before.
#if defined(__x86_64__) && defined(__GNUC__)
#define EMBERLINE_CLONES __attribute__((target_clones("default", "avx2")))
#else
#define EMBERLINE_CLONES
#endif

namespace emberline::etl {

constexpr int LIMBS = 4, LIMB_BITS = 26;
// Limbs of values below 2**-988 would need a scale beyond float64; they count as 0.
constexpr int LOWEST = -37;
// Values that are added up side by side, in registers.
constexpr i64 LANES = 8;
// Values in a row of sums: the sums of their limbs stay below 2**53.
constexpr i64 ROW = i64{1} << 20;

using LimbSums = std::array<double, LIMBS * LANES>;

// Cuts values (or squares) into limbs and adds these up. All is exact: a power of two only scales,
// and less its integer part a float is one. `count` is a multiple of LANES.
EMBERLINE_CLONES
inline void add_limbs(const double* values, i64 count, double scale, bool squared, double* sums) {
  for (i64 i = 0; i < count; i += LANES) {
    double rest[LANES];
    for (i64 j = 0; j < LANES; ++j) {
      const double value = values[i + j];
      rest[j] = (squared ? value * value : value) * scale;
    }
    for (int level = 0; level < LIMBS; ++level) {
      for (i64 j = 0; j < LANES; ++j) {
        const double limb = std::trunc(rest[j]);
        sums[level * LANES + j] += limb;
        rest[j] = (rest[j] - limb) * (1 << LIMB_BITS);
      }
    }
  }
}

inline double largest_of(const std::vector<double>& values) {
  std::array<double, LANES> found{};
  for (std::size_t i = 0; i < values.size(); i += LANES)
    for (i64 j = 0; j < LANES; ++j) {
      const double size = std::abs(values[i + j]);
      found[j] = found[j] < size ? size : found[j];
    }
  return *std::max_element(found.begin(), found.end());
}

// The grid of the highest limb of values up to `largest`, and the sums of the limbs.
inline std::array<i64, 1 + LIMBS> limb_sums(const std::vector<double>& values, double largest,
                                            bool squared) {
  int exponent = 0;
  std::frexp(largest, &exponent);
  // Rounded up, also below zero.
  const int grid = (exponent + LIMB_BITS * 1000 + LIMB_BITS - 1) / LIMB_BITS - 1000;
  const int top = largest > 0 ? std::max(grid, LOWEST) : LOWEST;
  std::array<i64, 1 + LIMBS> out{top};
  const i64 size = static_cast<i64>(values.size());
  for (i64 begin = 0; begin < size; begin += ROW) {
    LimbSums sums{};
    add_limbs(values.data() + begin, std::min(ROW, size - begin),
              std::ldexp(1.0, (1 - top) * LIMB_BITS), squared, sums.data());
    for (int i = 0; i < LIMBS * LANES; ++i) out[1 + i / LANES] += static_cast<i64>(sums[i]);
  }
  return out;
}

// The count of what is neither null nor NaN; whether squares overflow (then the rest is 0); the
// sums of the values; those of their squares.
inline std::array<i64, 2 + 2 * (1 + LIMBS)> moments(const Column& column) {
  std::vector<double> values(column.size() + LANES);
  i64 count = 0;
  for (i64 row = 0; row < column.size(); ++row) {
    values[count] = column.real(row);
    count += column.valid(row) && !std::isnan(values[count]);
  }
  std::array<i64, 2 + 2 * (1 + LIMBS)> out{count, 0};
  // Zeros at the end change no sum.
  values.resize((count + LANES - 1) / LANES * LANES);
  std::fill(values.begin() + count, values.end(), 0.0);
  const double largest = largest_of(values);
  if (!std::isfinite(largest * largest)) {
    out[1] = 1;
    return out;
  }
  const auto total = limb_sums(values, largest, false);
  const auto squares = limb_sums(values, largest * largest, true);
  std::copy(total.begin(), total.end(), out.begin() + 2);
  std::copy(squares.begin(), squares.end(), out.begin() + 2 + total.size());
  return out;
}

}  // namespace emberline::etl
