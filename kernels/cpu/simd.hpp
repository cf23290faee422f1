// Which vector units this machine has, for loop bodies that are compiled for each.
#pragma once

namespace emberline {

// Instruction sets that a loop body can be compiled for; all give the same bits.
enum class Simd : int { baseline = 0, avx2 = 1, avx512 = 2 };

// The highest level of this machine.
Simd best_simd();

}  // namespace emberline
