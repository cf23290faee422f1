// Two-byte weights: bfloat16 and float16, read as float32 exactly and written by rounding.
//
// Integers, comparisons and exact float operations only, so the bits are equal on every device.
// Nothing branches on a value (see `select`): loops over lanes become vectors.
#pragma once

#include "hash.cuh"

namespace emberline {

enum class RowType : int { float32 = 0, bfloat16 = 1, float16 = 2 };

EMBERLINE_HD u32 float_bits(float value) {
  u32 bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

EMBERLINE_HD float bits_float(u32 bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// `yes` or `no` by a mask: a compiler moves a float operation that only one side needs behind a
// branch, as it might trap, and then makes no vectors.
EMBERLINE_HD u32 select(bool condition, u32 yes, u32 no) {
  const u32 mask = 0u - static_cast<u32>(condition);
  return (yes & mask) | (no & ~mask);
}

// To the nearest, ties to even.
struct Nearest {
  // What is added to a magnitude whose lowest `dropped` bits are then cut off.
  EMBERLINE_HD u32 addend(u32 magnitude, int dropped) const {
    return (1u << (dropped - 1)) - 1 + (magnitude >> dropped & 1);
  }

  // The whole number that `units`, from 0 to 1024, becomes: 2^23 leaves no bit for a fraction.
  EMBERLINE_HD u32 whole(float units) const { return float_bits(units + 8388608.0f) - 0x4B000000u; }
};

// Up with the probability of the part that is cut off: right in the mean, however small a step is.
// Up if the fraction and u, uniform in [0, 1), add up to 1; `random` is u * 2^32.
struct Stochastic {
  u32 random;

  EMBERLINE_HD u32 addend(u32, int dropped) const { return random >> (32 - dropped); }

  EMBERLINE_HD u32 whole(float units) const {
    const int below = static_cast<int>(units);
    const float fraction = units - static_cast<float>(below);
    const float u = static_cast<float>(static_cast<int>(random >> 8)) * 5.9604644775390625e-08f;
    return static_cast<u32>(below) + static_cast<u32>(fraction >= 1.0f - u);
  }
};

// A finite number never becomes infinite: beyond the largest one it becomes the largest one. What
// is infinite stays so, and NaN stays NaN with the upper bits of its payload, quiet.

struct Bfloat16 {
  EMBERLINE_HD static float read(u16 half) { return bits_float(static_cast<u32>(half) << 16); }

  template <class Rounding>
  EMBERLINE_HD static u16 write(float value, const Rounding& rounding) {
    const u32 bits = float_bits(value);
    const u32 magnitude = bits & 0x7FFFFFFFu;
    const u32 rounded = (magnitude + rounding.addend(magnitude, 16)) >> 16;
    const u32 finite = rounded < 0x7F7Fu ? rounded : 0x7F7Fu;
    const u32 quiet = magnitude > 0x7F800000u ? 0x40u : 0u;
    const u32 result = magnitude < 0x7F800000u ? finite : (magnitude >> 16) | quiet;
    return static_cast<u16>((bits >> 16 & 0x8000u) | result);
  }
};

struct Float16 {
  EMBERLINE_HD static float read(u16 half) {
    const u32 magnitude = half & 0x7FFFu;
    const u32 shifted = magnitude << 13;
    const u32 normal = shifted + 0x38000000u;  // exponents: 127 - 15 more
    const u32 subnormal = float_bits(static_cast<float>(static_cast<int>(magnitude)) *
                                     5.9604644775390625e-08f);  // 2^-24
    const u32 special = shifted | 0x7F800000u | select(magnitude > 0x7C00u, 0x400000u, 0u);
    const u32 finite = select(magnitude < 0x400u, subnormal, normal);
    const u32 result = select(magnitude < 0x7C00u, finite, special);
    return bits_float(((half & 0x8000u) << 16) | result);
  }

  template <class Rounding>
  EMBERLINE_HD static u16 write(float value, const Rounding& rounding) {
    const u32 bits = float_bits(value);
    const u32 magnitude = bits & 0x7FFFFFFFu;
    const bool tiny = magnitude < 0x38800000u;  // below 2^-14, the least normal one
    const u32 rounded = (magnitude - 0x38000000u + rounding.addend(magnitude, 13)) >> 13;
    const u32 normal = rounded < 0x7BFFu ? rounded : 0x7BFFu;
    const u32 subnormal = rounding.whole(bits_float(select(tiny, magnitude, 0u)) * 16777216.0f);
    const u32 finite = select(tiny, subnormal, normal);
    const u32 nan = 0x7E00u | (magnitude >> 13 & 0x3FFu);
    const u32 special = select(magnitude > 0x7F800000u, nan, 0x7C00u);
    const u32 result = select(magnitude < 0x7F800000u, finite, special);
    return static_cast<u16>((bits >> 16 & 0x8000u) | result);
  }
};

// What the lanes of one update of a row are rounded by. A pure function of what a save keeps and a
// replay repeats: not of row numbers, threads or time. The row's `frequency` before the update is
// in it beside the step, or a caller who counts no steps would round by the same bits each time.
EMBERLINE_HD u64 rounding_stream(u64 seed, i64 key, u32 step, u32 frequency) {
  const u64 row = mix64(static_cast<u64>(key) ^ mix64(seed + 2 * kGolden));
  return mix64(row + ((static_cast<u64>(frequency) << 32) | step));
}

// 32 random bits of a lane: the finalizer of MurmurHash3 (Appleby 2011), as vector units multiply
// 32-bit words and few of them 64-bit ones.
EMBERLINE_HD Stochastic lane_rounding(u64 stream, i64 lane) {
  u32 x = static_cast<u32>(stream) + static_cast<u32>(lane) * 0x9E3779B9u;
  x ^= static_cast<u32>(stream >> 32);
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13;
  x *= 0xC2B2AE35u;
  x ^= x >> 16;
  return {x};
}

// Weights of a row that starts at `row`, whose type is known when this is compiled.
template <RowType type>
EMBERLINE_HD float read_weight(const float* row, i64 lane) {
  if constexpr (type == RowType::float32) {
    return row[lane];
  } else {
    const u16 half = reinterpret_cast<const u16*>(row)[lane];
    if constexpr (type == RowType::bfloat16) return Bfloat16::read(half);
    return Float16::read(half);
  }
}

template <RowType type, class Rounding>
EMBERLINE_HD void write_weight(float* row, i64 lane, float value, const Rounding& rounding) {
  if constexpr (type == RowType::float32) {
    row[lane] = value;
  } else {
    u16* halves = reinterpret_cast<u16*>(row);
    if constexpr (type == RowType::bfloat16) {
      halves[lane] = Bfloat16::write(value, rounding);
    } else {
      halves[lane] = Float16::write(value, rounding);
    }
  }
}

// What reading gives back after writing.
template <class Half>
EMBERLINE_HD float rounded_weight(float value) {
  return Half::read(Half::write(value, Nearest{}));
}

EMBERLINE_HD float rounded_weight(RowType type, float value) {
  if (type == RowType::float32) return value;
  return type == RowType::bfloat16 ? rounded_weight<Bfloat16>(value)
                                   : rounded_weight<Float16>(value);
}

// Call `visit.template operator()<type>()` for the type: one loop, or one kernel, for each.
template <class Visit>
EMBERLINE_HD void visit_row_type(RowType type, const Visit& visit) {
  switch (type) {
    case RowType::float32: return visit.template operator()<RowType::float32>();
    case RowType::bfloat16: return visit.template operator()<RowType::bfloat16>();
    case RowType::float16: return visit.template operator()<RowType::float16>();
  }
}

}  // namespace emberline
