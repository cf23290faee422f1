// The initial weights of whole rows, on the vector units that this machine has.
#pragma once

#include "initializers.cuh"

namespace emberline {

// Instruction sets that a row's weights can be computed with; all give the same bits.
enum class Simd : int { baseline = 0, avx2 = 1, avx512 = 2 };

// The highest level of this machine.
Simd best_simd();

// Write the `dim` weights of a new row; `stream` is that of its key.
using InitializeRow = void (*)(const InitializerConfig& config, u64 stream, i64 dim,
                               float* weights);

// The function of a level, which the machine must have.
InitializeRow initialize_function(Simd level);

}  // namespace emberline
