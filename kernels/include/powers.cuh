// Powers with the same bits on every device.
//
// The C library's pow differs between machines and from CUDA's, so these bring their own, of
// +, -, * and / in double, which IEEE 754 rounds correctly everywhere. Rounded to float32 they are
// exact up to one unit in the last place.
#pragma once

#include "platform.cuh"

namespace emberline {

// decay^count for a whole count, by repeated squaring.
EMBERLINE_HD float decay_power(float decay, u32 count) {
  double power = 1.0;
  double square = static_cast<double>(decay);
  for (u32 left = count; left != 0; left >>= 1) {
    if ((left & 1) != 0) power *= square;
    square *= square;
  }
  return static_cast<float>(power);
}

// ln x of a positive, finite x: ln m = 2 artanh((m - 1) / (m + 1)) with m in [0.7, 1.42].
EMBERLINE_HD double log_positive(float x) {
  double m = static_cast<double>(x);  // normal, even where x is subnormal
  u64 bits = 0;
  memcpy(&bits, &m, sizeof(bits));
  i64 exponent = static_cast<i64>(bits >> 52) - 1023;
  bits = (bits & ((u64{1} << 52) - 1)) | (u64{1023} << 52);
  memcpy(&m, &bits, sizeof(bits));
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double q = s * s;
  double sum = 1.0 / 17.0;
  sum = sum * q + 1.0 / 15.0;
  sum = sum * q + 1.0 / 13.0;
  sum = sum * q + 1.0 / 11.0;
  sum = sum * q + 1.0 / 9.0;
  sum = sum * q + 1.0 / 7.0;
  sum = sum * q + 1.0 / 5.0;
  sum = sum * q + 1.0 / 3.0;
  sum = sum * q + 1.0;
  return 2.0 * s * sum + static_cast<double>(exponent) * 0.6931471805599453;
}

// e^x = 2^n e^r with |r| <= ln(2) / 2 and Taylor's series; what is beyond float32's range becomes
// 0 or infinite when it is rounded to that.
EMBERLINE_HD double exponential(double x) {
  const double bounded = x < -600.0 ? -600.0 : x > 600.0 ? 600.0 : x;
  const double turns = bounded * 1.4426950408889634;
  const i64 n = static_cast<i64>(turns < 0.0 ? turns - 0.5 : turns + 0.5);
  const double r = bounded - static_cast<double>(n) * 0.6931471805599453;
  double sum = 1.0 / 479001600.0;
  sum = sum * r + 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 1.0 / 2.0;
  sum = (sum * r + 1.0) * r + 1.0;
  const u64 bits = static_cast<u64>(n + 1023) << 52;
  double scale = 0.0;
  memcpy(&scale, &bits, sizeof(bits));
  return sum * scale;
}

// x^exponent for x >= 0 and a finite exponent >= 0, as C's powf; NaN for x < 0 and for NaN.
EMBERLINE_HD float positive_power(float x, float exponent) {
  if (exponent == 0.0f) return 1.0f;
  if (x == 0.0f) return 0.0f;
  if (!(x > 0.0f && x <= 3.4028234e38f)) return sqrtf(x);  // infinity or NaN
  return static_cast<float>(exponential(static_cast<double>(exponent) * log_positive(x)));
}

}  // namespace emberline
