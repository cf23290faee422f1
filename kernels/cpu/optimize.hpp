// The update of one row: its gradients summed, then the optimizer's loop over the lanes.
#pragma once

#include "optimizers.cuh"
#include "segments.cuh"
#include "simd.hpp"

namespace emberline {

// The gradients of one row: those at `positions[0 .. count)`, summed in that order.
struct RowGradients {
  const GradientView* view;
  const u32* positions;
  i64 count;
  float* sum;  // work space, `dim` floats
};

// Update a row from its gradients. Nothing overlaps; `states` has
// optimizer_state_floats(config.kind, dim) floats.
using UpdateRow = void (*)(const OptimizerConfig& config, i64 dim, const RowGradients& gradients,
                           float* weights, float* states);

// The function of a level, which the machine must have.
UpdateRow update_function(Simd level);

}  // namespace emberline
