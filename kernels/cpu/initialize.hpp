// The initial weights of whole rows, on the vector units that this machine has.
#pragma once

#include "initializers.cuh"
#include "simd.hpp"

namespace emberline {

// Write the `dim` weights of a new row; `stream` is that of its key. Every instruction set gives
// the same bits.
using InitializeRow = void (*)(const InitializerConfig& config, u64 stream, i64 dim,
                               float* weights);

// The function of a level, which the machine must have.
InitializeRow initialize_function(Simd level);

}  // namespace emberline
