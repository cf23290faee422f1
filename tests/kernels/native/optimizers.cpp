// Run by test_optimizer_lanes.py under AddressSanitizer and UBSan: every kind of optimizer, by
// optimize_row and as a warp would do it, on arrays that end where the row ends. Prints one line.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

#include "optimize.hpp"
#include "square_sum.cuh"

using namespace emberline;

namespace {

constexpr int kWarp = 32;

// Each thread's lanes in turn, threads in an order that changes.
struct WarpLanes {
  const OptimizerConfig& config;
  const RowUpdate& update;
  i64 dim;
  const float* gradient;
  float* weights;
  float* states;
  int first;

  template <OptimizerKind kind>
  void operator()() const {
    for (int t = 0; t < kWarp; ++t) {
      for (i64 lane = (first + 7 * t) % kWarp; lane < dim; lane += kWarp) {
        optimizer_lane<kind>(config, update, dim, gradient[lane], weights + lane, states + lane);
      }
    }
  }
};

float warp_square_sum(const float* gradient, i64 dim) {
  float sums[kWarp] = {};
  for (int t = 0; t < kWarp; ++t) {
    for (i64 lane = t; lane < dim; lane += kWarp) sums[t] += gradient[lane] * gradient[lane];
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    float other[kWarp];
    for (int t = 0; t < kWarp; ++t) other[t] = sums[t ^ offset];
    for (int t = 0; t < kWarp; ++t) sums[t] += other[t];
  }
  for (int t = 1; t < kWarp; ++t) {
    if (std::memcmp(&sums[t], &sums[0], 4) != 0) std::printf("thread %d has another sum\n", t);
  }
  return sums[0];
}

bool same(const float* a, const float* b, i64 count) {
  return std::memcmp(a, b, static_cast<std::size_t>(count) * 4) == 0;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  int compared = 0;
  for (int code = 0; code <= static_cast<int>(OptimizerKind::rmsprop_centered_momentum); ++code) {
    for (int options = 0; options < 4; ++options) {
      OptimizerConfig config{static_cast<OptimizerKind>(code), 0.1f, 0.0f, 1e-3f};
      config.weight_decay = (options & 1) != 0 ? 0.1f : 0.0f;
      config.clip_norm = (options & 2) != 0 ? 3.0f : 0.0f;
      config.momentum = 0.5f;
      config.decay_1 = 0.75f;
      config.rest_1 = 0.25f;
      config.decay_2 = 0.875f;
      config.rest_2 = 0.125f;
      config.power = 0.7f;
      config.l1 = 0.1f;
      for (i64 dim : {1, 2, 8, 31, 32, 33, 64, 100}) {
        const i64 floats = dim + optimizer_state_floats(config.kind, dim);
        std::unique_ptr<float[]> row(new float[floats]);
        std::unique_ptr<float[]> other(new float[floats]);
        for (i64 i = 0; i < floats; ++i) {
          row[i] = i < dim ? normal(random) : optimizer_initial_state(config, dim, i - dim);
        }
        std::memcpy(other.get(), row.get(), static_cast<std::size_t>(floats) * 4);
        std::unique_ptr<float[]> gradient(new float[dim]);
        for (int step = 0; step < 5; ++step) {
          for (i64 i = 0; i < dim; ++i) gradient[i] = normal(random);
          optimize_row(config, dim, gradient.get(), row.get(), row.get() + dim);
          float* states = other.get() + dim;
          const RowUpdate update =
              row_update(config, dim, warp_square_sum(gradient.get(), dim), states);
          visit_kind(config.kind, WarpLanes{config, update, dim, gradient.get(), other.get(),
                                            states, step});
          finish_row(config, update, dim, states);
          if (!same(row.get(), other.get(), floats)) {
            std::printf("kind %d options %d dim %lld step %d differ\n", code, options, dim, step);
            return 1;
          }
          for (i64 i = 0; i < floats; ++i) {
            if (std::isfinite(row[i])) continue;
            std::printf("kind %d dim %lld: float %lld is %f\n", code, dim, i, row[i]);
            return 1;
          }
          ++compared;
        }
      }
    }
  }
  std::printf("%d updates agree\n", compared);
  return 0;
}
