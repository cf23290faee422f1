// How the loops of gather.cpp read a row, by its type.
#pragma once

#include <algorithm>
#include <cstring>

#include "halves.hpp"

namespace emberline {

// A constant size lets the compiler use vector moves in place of a call.
inline void copy_row(float* to, const float* from, i64 dim) {
  switch (dim) {
    case 8: std::memcpy(to, from, 8 * 4); break;
    case 16: std::memcpy(to, from, 16 * 4); break;
    case 32: std::memcpy(to, from, 32 * 4); break;
    case 64: std::memcpy(to, from, 64 * 4); break;
    default: std::memcpy(to, from, static_cast<std::size_t>(dim) * 4);
  }
}

// Loops are compiled for each reader: a test in the loop cost float32 rows of 16 weights a sixth
// of their rate.
struct FloatReader {
  static constexpr bool kFloats = true;

  void copy(const float* row, i64 dim, float* to) const { copy_row(to, row, dim); }
  void add(const float* row, i64 dim, float weight, float* to) const {
    for (i64 lane = 0; lane < dim; ++lane) to[lane] += row[lane] * weight;
  }
};

struct HalfReader {
  static constexpr bool kFloats = false;

  void (*read)(const u16* from, i64 dim, float* to);

  void copy(const float* row, i64 dim, float* to) const {
    read(reinterpret_cast<const u16*>(row), dim, to);
  }

  // In pieces that stay in the nearest cache.
  void add(const float* row, i64 dim, float weight, float* to) const {
    const u16* halves = reinterpret_cast<const u16*>(row);
    float weights[kHalfBlock];
    for (i64 start = 0; start < dim; start += kHalfBlock) {
      const i64 lanes = std::min(kHalfBlock, dim - start);
      read(halves + start, lanes, weights);
      FloatReader{}.add(weights, lanes, weight, to + start);
    }
  }
};

// Short rows are read in place: the call took a lookup of 16 weights a third longer.
struct Bfloat16Reader : HalfReader {
  void copy(const float* row, i64 dim, float* to) const {
    switch (dim) {
      case 8: return copy_short<8>(row, to);
      case 16: return copy_short<16>(row, to);
      case 32: return copy_short<32>(row, to);
      default: return HalfReader::copy(row, dim, to);
    }
  }

  template <i64 dim>
  static void copy_short(const float* row, float* to) {
    for (i64 lane = 0; lane < dim; ++lane) to[lane] = read_weight<RowType::bfloat16>(row, lane);
  }
};

// Call work(reader) with that of a table's rows.
template <class Work>
void with_reader(RowType type, const HalfRows& halves, const Work& work) {
  switch (type) {
    case RowType::float32: return work(FloatReader{});
    case RowType::bfloat16: return work(Bfloat16Reader{{halves.read}});
    case RowType::float16: return work(HalfReader{halves.read});
  }
}

}  // namespace emberline
