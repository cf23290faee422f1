// One loop body, compiled for each instruction set. Not target_clones: its resolvers run before
// sanitizers are up, and no test could choose a level.
#include "initialize.hpp"

#include <algorithm>
#include <cstring>

#define EMBERLINE_BODY __attribute__((always_inline)) inline

namespace emberline {

namespace {

// Without 64-bit vector products the blocks would cost twice as much as pair after pair.
void initialize_baseline(const InitializerConfig& config, u64 stream, i64 dim, float* weights) {
  for (i64 pair = 0; 2 * pair < dim; ++pair) initialize_pair(config, stream, pair, dim, weights);
}

#if defined(__x86_64__)
constexpr i64 kPairs = 16;  // a block of lanes that stays in registers and the nearest cache

// Lanes 2 * pair and 2 * pair + 1 as 24-bit integers, side by side.
EMBERLINE_BODY void draw_integers(u64 stream, i64 first, i64 pairs, int* lanes) {
  u64 words[kPairs];
  for (i64 p = 0; p < pairs; ++p) {
    const u64 bits = initializer_bits(stream, first + p);
    words[p] = bits >> 40 | (bits & 0xFFFFFF00ull) << 24;
  }
  std::memcpy(lanes, words, static_cast<std::size_t>(pairs) * sizeof(u64));
}

EMBERLINE_BODY void draw_normals(u64 stream, i64 first, i64 pairs, float* lanes) {
  float even[kPairs];
  float odd[kPairs];
  for (i64 p = 0; p < pairs; ++p) {
    normal_pair(initializer_bits(stream, first + p), &even[p], &odd[p]);
  }
  for (i64 p = 0; p < pairs; ++p) {
    lanes[2 * p] = even[p];
    lanes[2 * p + 1] = odd[p];
  }
}

// The same operations on a lane, in the same order, as initialize_pair. `dim` is a constant
// where this is inlined for one, so that no loop has a remainder.
EMBERLINE_BODY void initialize_lanes(const InitializerConfig& config, u64 stream, i64 dim,
                                     float* weights) {
  if (config.kind == InitializerKind::constant) {
    std::fill(weights, weights + dim, config.offset + config.scale * 0.0f);
    return;
  }
  for (i64 first = 0; 2 * first < dim; first += kPairs) {
    const i64 pairs = std::min(kPairs, (dim + 1) / 2 - first);
    const i64 lanes = std::min(2 * kPairs, dim - 2 * first);
    float* to = weights + 2 * first;
    if (config.kind == InitializerKind::uniform) {
      int drawn[2 * kPairs];
      draw_integers(stream, first, pairs, drawn);
      for (i64 lane = 0; lane < lanes; ++lane) {
        const float u = static_cast<float>(drawn[lane]) * 5.9604644775390625e-08f;  // 2^-24
        to[lane] = config.offset + config.scale * u;
      }
    } else {
      float drawn[2 * kPairs];
      draw_normals(stream, first, pairs, drawn);
      for (i64 lane = 0; lane < lanes; ++lane) {
        to[lane] = config.offset + config.scale * drawn[lane];
      }
    }
  }
}

EMBERLINE_BODY void initialize_body(const InitializerConfig& config, u64 stream, i64 dim,
                                    float* weights) {
  switch (dim) {
    case 8: return initialize_lanes(config, stream, 8, weights);
    case 16: return initialize_lanes(config, stream, 16, weights);
    case 32: return initialize_lanes(config, stream, 32, weights);
    default: return initialize_lanes(config, stream, dim, weights);
  }
}

__attribute__((target("arch=x86-64-v3"))) void initialize_avx2(const InitializerConfig& config,
                                                               u64 stream, i64 dim,
                                                               float* weights) {
  initialize_body(config, stream, dim, weights);
}

__attribute__((target("arch=x86-64-v4"))) void initialize_avx512(const InitializerConfig& config,
                                                                 u64 stream, i64 dim,
                                                                 float* weights) {
  initialize_body(config, stream, dim, weights);
}
#endif

}  // namespace

InitializeRow initialize_function(Simd level) {
#if defined(__x86_64__)
  if (level == Simd::avx512) return initialize_avx512;
  if (level == Simd::avx2) return initialize_avx2;
#endif
  static_cast<void>(level);
  return initialize_baseline;
}

}  // namespace emberline
