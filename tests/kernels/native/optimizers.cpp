// Run by test_optimizer_lanes.py under AddressSanitizer and UBSan: every kind of optimizer, by
// update_function and as a warp would do it, on arrays that end where the row ends. Prints a line
// for each instruction set of the machine.
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

// One to three gradients, out of order and, for some steps, scaled.
struct Gradients {
  explicit Gradients(i64 dim, int step, std::mt19937& random)
      : values(new float[kCount * dim]), positions{2, 0, 1} {
    std::normal_distribution<float> normal;
    for (i64 i = 0; i < kCount * dim; ++i) values[i] = normal(random);
    for (float& scale : scales) scale = normal(random);
    view = {values.get(), kCount, dim, nullptr, step % 2 == 0 ? nullptr : scales};
  }

  static constexpr i64 kCount = 3;
  std::unique_ptr<float[]> values;
  float scales[kCount];
  u32 positions[kCount];
  GradientView view;
};

// Prints what differs, or how many updates were the same.
bool compare(Simd level) {
  const UpdateRow update_row = update_function(level);
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
        std::unique_ptr<float[]> sum(new float[dim]);
        for (int step = 0; step < 5; ++step) {
          const Gradients given(dim, step, random);
          const i64 count = 1 + step % 3;
          for (i64 i = 0; i < dim; ++i) {
            gradient[i] = segment_gradient(given.view, given.positions, count, i);
          }
          update_row(config, dim, {&given.view, given.positions, count, sum.get()}, row.get(),
                     row.get() + dim);
          float* states = other.get() + dim;
          const RowUpdate update =
              row_update(config, dim, warp_square_sum(gradient.get(), dim), states);
          visit_kind(config.kind, WarpLanes{config, update, dim, gradient.get(), other.get(),
                                            states, step});
          finish_row(config, update, dim, states);
          if (!same(row.get(), other.get(), floats)) {
            std::printf("kind %d options %d dim %lld step %d differ\n", code, options, dim, step);
            return false;
          }
          for (i64 i = 0; i < floats; ++i) {
            if (std::isfinite(row[i])) continue;
            std::printf("kind %d dim %lld: float %lld is %f\n", code, dim, i, row[i]);
            return false;
          }
          ++compared;
        }
      }
    }
  }
  std::printf("level %d: %d updates agree\n", static_cast<int>(level), compared);
  return true;
}

}  // namespace

int main() {
  for (int level = 0; level <= static_cast<int>(best_simd()); ++level) {
    if (!compare(static_cast<Simd>(level))) return 1;
  }
  return 0;
}
