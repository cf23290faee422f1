// Counter-based initializers: a weight is a pure function of (seed, key, lane).
//
// The same key starts with the same bits on any device, in any order and after any eviction.
// Only +, -, *, / and sqrt are used, which IEEE 754 rounds correctly everywhere: the C library's
// log and cos differ between machines, so the normal one brings its own series.
#pragma once

#include "hash.cuh"

namespace emberline {

enum class InitializerKind : int { constant = 0, uniform = 1, normal = 2 };

// uniform: low + span * u, u in [0, 1). normal: offset + scale * z. constant: offset.
struct InitializerConfig {
  InitializerKind kind;
  float offset;  // value, low or mean
  float scale;   // unused, high - low or stddev
};

// The stream of one key; drawn from by lane pairs.
EMBERLINE_HD u64 initializer_stream(u64 seed, i64 key) {
  return mix64(static_cast<u64>(key) ^ mix64(seed + kGolden));
}

// The stream whose first pair is this one's pair `pairs`: a row can be written in pieces.
EMBERLINE_HD u64 initializer_skip(u64 stream, i64 pairs) {
  return stream + static_cast<u64>(pairs) * kGolden;
}

// 64 random bits for lanes 2 * pair and 2 * pair + 1: SplitMix64 started at the stream.
EMBERLINE_HD u64 initializer_bits(u64 stream, i64 pair) {
  return mix64(stream + (static_cast<u64>(pair) + 1) * kGolden);
}

EMBERLINE_HD u32 high_24_bits(u64 bits) { return static_cast<u32>(bits >> 40); }
EMBERLINE_HD u32 middle_24_bits(u64 bits) { return static_cast<u32>(bits >> 8) & 0xFFFFFFu; }

// ln(k / 2^24) for k in 1 .. 2^24, from ln m = 2 artanh((m - 1) / (m + 1)), |error| < 1e-12.
EMBERLINE_HD double log_fraction(u32 k) {
  // k = m * 2^(exponent + 24) with m in (sqrt(1/2), sqrt(2)], by the bits of a double: without
  // a loop or a branch, so that it vectorizes.
  const double whole = static_cast<double>(k);
  u64 bits;
  memcpy(&bits, &whole, sizeof(bits));
  const u64 fraction = (bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
  double m;
  memcpy(&m, &fraction, sizeof(m));
  const int above = m > 1.4142135623730951 ? 1 : 0;
  m = above != 0 ? m * 0.5 : m;
  const int exponent = static_cast<int>(bits >> 52) - 1023 - 24 + above;
  const double s = (m - 1.0) / (m + 1.0);
  const double q = s * s;
  double sum = 1.0 / 15.0;
  sum = sum * q + 1.0 / 13.0;
  sum = sum * q + 1.0 / 11.0;
  sum = sum * q + 1.0 / 9.0;
  sum = sum * q + 1.0 / 7.0;
  sum = sum * q + 1.0 / 5.0;
  sum = sum * q + 1.0 / 3.0;
  sum = sum * q + 1.0;
  return 2.0 * s * sum + static_cast<double>(exponent) * 0.6931471805599453;
}

// cos and sin of 2 pi k / 2^24: exact reduction to [-pi/4, pi/4], then Taylor, |error| < 1e-12.
EMBERLINE_HD void cos_sin_turn(u32 k, double* cosine, double* sine) {
  const u32 quadrant = (k + (1u << 21)) >> 22;
  const int rest = static_cast<int>(k) - static_cast<int>(quadrant << 22);
  const double x = static_cast<double>(rest) * 3.7450702829238413e-07;  // 2 pi / 2^24
  const double q = x * x;
  double c = 1.0 / 479001600.0;
  c = c * q - 1.0 / 3628800.0;
  c = c * q + 1.0 / 40320.0;
  c = c * q - 1.0 / 720.0;
  c = c * q + 1.0 / 24.0;
  c = c * q - 0.5;
  c = c * q + 1.0;
  double s = 1.0 / 6227020800.0;
  s = s * q - 1.0 / 39916800.0;
  s = s * q + 1.0 / 362880.0;
  s = s * q - 1.0 / 5040.0;
  s = s * q + 1.0 / 120.0;
  s = s * q - 1.0 / 6.0;
  s = (s * q + 1.0) * x;
  const u32 turn = quadrant & 3;
  *cosine = turn == 0 ? c : turn == 1 ? -s : turn == 2 ? -c : s;
  *sine = turn == 0 ? s : turn == 1 ? c : turn == 2 ? -s : -c;
}

// Two standard normals from one word (Box and Muller 1958), |z| <= sqrt(48 ln 2) = 5.77.
EMBERLINE_HD void normal_pair(u64 bits, float* even, float* odd) {
  const double radius = sqrt(-2.0 * log_fraction(high_24_bits(bits) + 1));
  double cosine = 0.0;
  double sine = 0.0;
  cos_sin_turn(middle_24_bits(bits), &cosine, &sine);
  *even = static_cast<float>(radius * cosine);
  *odd = static_cast<float>(radius * sine);
}

// Write the weights of lanes 2 * pair and, where it exists, 2 * pair + 1.
EMBERLINE_HD void initialize_pair(const InitializerConfig& config, u64 stream, i64 pair, i64 dim,
                                  float* weights) {
  float even = 0.0f;
  float odd = 0.0f;
  if (config.kind == InitializerKind::uniform) {
    const u64 bits = initializer_bits(stream, pair);
    even = static_cast<float>(high_24_bits(bits)) * 5.9604644775390625e-08f;  // 2^-24, exact
    odd = static_cast<float>(middle_24_bits(bits)) * 5.9604644775390625e-08f;
  } else if (config.kind == InitializerKind::normal) {
    normal_pair(initializer_bits(stream, pair), &even, &odd);
  }
  weights[2 * pair] = config.offset + config.scale * even;
  if (2 * pair + 1 < dim) weights[2 * pair + 1] = config.offset + config.scale * odd;
}

}  // namespace emberline
