// One loop body, compiled for each instruction set, as in initialize.cpp. `flatten` inlines the
// headers' functions into each, so that they too use its vectors.
#include "optimize.hpp"

#include <cstring>

#include "square_sum.cuh"

#define EMBERLINE_BODY __attribute__((always_inline)) inline

namespace emberline {

namespace {

// Lanes of one sum: in as many registers as the instruction set needs.
using Lanes8 = float __attribute__((vector_size(32)));
using Lanes16 = float __attribute__((vector_size(64)));

// The sum stays in a register over all gradients.
template <class Lanes>
EMBERLINE_BODY void sum_lanes(const RowGradients& gradients, i64 lane) {
  const GradientView view = *gradients.view;
  Lanes sum{};
  for (i64 i = 0; i < gradients.count; ++i) {
    const u32 position = gradients.positions[i];
    Lanes gradient;
    std::memcpy(&gradient, gradient_row(view, position) + lane, sizeof(Lanes));
    gradient *= gradient_scale(view, position);
    sum = i == 0 ? gradient : sum + gradient;  // 0 + -0 would be 0
  }
  std::memcpy(gradients.sum + lane, &sum, sizeof(Lanes));
}

// The same sums as segment_gradient. Returns where they are.
EMBERLINE_BODY const float* sum_gradients(const RowGradients& gradients, i64 dim) {
  if (gradients.count == 1 && gradients.view->scale == nullptr) {
    return gradient_row(*gradients.view, gradients.positions[0]);
  }
  i64 lane = 0;
  for (; lane + 16 <= dim; lane += 16) sum_lanes<Lanes16>(gradients, lane);
  for (; lane + 8 <= dim; lane += 8) sum_lanes<Lanes8>(gradients, lane);
  for (; lane < dim; ++lane) {
    gradients.sum[lane] =
        segment_gradient(*gradients.view, gradients.positions, gradients.count, lane);
  }
  return gradients.sum;
}

struct RowLanes {
  // Copies, so that the compiler need not fear that a write to a weight changes a setting.
  OptimizerConfig config;
  RowUpdate update;
  i64 dim;
  const float* gradient;
  float* weights;
  float* states;

  template <OptimizerKind kind>
  void operator()() const {
    i64 lane = 0;
    for (; lane + 16 <= dim; lane += 16) block<kind, 16>(lane);
    for (; lane + 8 <= dim; lane += 8) block<kind, 8>(lane);
    for (; lane < dim; ++lane) block<kind, 1>(lane);
  }

  // A constant number of lanes, so that no loop has a remainder.
  template <OptimizerKind kind, int lanes>
  EMBERLINE_BODY void block(i64 first) const {
    const OptimizerConfig config = this->config;
    const RowUpdate update = this->update;
    const i64 dim = this->dim;
    const float* __restrict__ gradient = this->gradient + first;
    float* __restrict__ weights = this->weights + first;
    float* __restrict__ states = this->states + first;
#pragma GCC ivdep  // a lane's states are its own
    for (int lane = 0; lane < lanes; ++lane) {
      optimizer_lane<kind>(config, update, dim, gradient[lane], weights + lane, states + lane);
    }
  }
};

EMBERLINE_BODY void update_body(const OptimizerConfig& config, i64 dim,
                                const RowGradients& gradients, float* weights, float* states) {
  const float* gradient = sum_gradients(gradients, dim);
  const float squares = needs_square_sum(config) ? square_sum(gradient, dim) : 0.0f;
  const RowUpdate update = row_update(config, dim, squares, states);
  visit_kind(config.kind, RowLanes{config, update, dim, gradient, weights, states});
  finish_row(config, update, dim, states);
}

__attribute__((flatten)) void update_baseline(const OptimizerConfig& config, i64 dim,
                                              const RowGradients& gradients, float* weights,
                                              float* states) {
  update_body(config, dim, gradients, weights, states);
}

#if defined(__x86_64__)
__attribute__((flatten, target("arch=x86-64-v3"))) void update_avx2(
    const OptimizerConfig& config, i64 dim, const RowGradients& gradients, float* weights,
    float* states) {
  update_body(config, dim, gradients, weights, states);
}

__attribute__((flatten, target("arch=x86-64-v4"))) void update_avx512(
    const OptimizerConfig& config, i64 dim, const RowGradients& gradients, float* weights,
    float* states) {
  update_body(config, dim, gradients, weights, states);
}
#endif

}  // namespace

UpdateRow update_function(Simd level) {
#if defined(__x86_64__)
  if (level == Simd::avx512) return update_avx512;
  if (level == Simd::avx2) return update_avx2;
#endif
  static_cast<void>(level);
  return update_baseline;
}

}  // namespace emberline
