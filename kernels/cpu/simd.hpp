// Instruction sets that loops are compiled for; which one runs is decided when a table is made.
#pragma once

namespace emberline {

enum class Simd : int { baseline = 0, avx2 = 1, avx512 = 2 };

// The highest level of this machine.
Simd best_simd();

}  // namespace emberline
