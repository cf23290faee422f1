// What the places of absent keys in `rows` say while a batch is worked on.
#pragma once

#include "platform.cuh"

namespace emberline {

constexpr i64 kFirst = -1;  // the key's first occurrence
constexpr i64 kRefused = -0x7FFFFFFFFFFFFFFF - 1;  // admission keeps it out: no row

// A repeated key points to the position of its first occurrence; applied again, it gives that
// position.
constexpr i64 repeats(i64 first) { return -2 - first; }

}  // namespace emberline
