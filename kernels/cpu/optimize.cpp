#include "optimize.hpp"

#include "square_sum.cuh"

namespace emberline {

namespace {

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
    const OptimizerConfig config = this->config;
    const RowUpdate update = this->update;
    const i64 dim = this->dim;
    const float* __restrict__ gradient = this->gradient;
    float* __restrict__ weights = this->weights;
    float* __restrict__ states = this->states;
#pragma GCC ivdep  // a lane's states are its own
    for (i64 lane = 0; lane < dim; ++lane) {
      optimizer_lane<kind>(config, update, dim, gradient[lane], weights + lane, states + lane);
    }
  }
};

}  // namespace

void optimize_row(const OptimizerConfig& config, i64 dim, const float* gradient, float* weights,
                  float* states) {
  const float squares = needs_square_sum(config) ? square_sum(gradient, dim) : 0.0f;
  const RowUpdate update = row_update(config, dim, squares, states);
  visit_kind(config.kind, RowLanes{config, update, dim, gradient, weights, states});
  finish_row(config, update, dim, states);
}

}  // namespace emberline
