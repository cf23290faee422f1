// The optimizers' loop over the lanes of one row.
#pragma once

#include "optimizers.cuh"

namespace emberline {

// Update a row from its summed gradient. None of the three overlap; `states` has
// optimizer_state_floats(config.kind, dim) floats.
void optimize_row(const OptimizerConfig& config, i64 dim, const float* gradient, float* weights,
                  float* states);

}  // namespace emberline
