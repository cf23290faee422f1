// What every kernel header stands on: fixed-width types and the host/device macro.
//
// One source, two targets: the C++ compiler builds these headers for the CPU, NVRTC builds them
// for GPUs. NVRTC has no standard library, so nothing heavy is included here. Results are equal
// on both only without fused multiply-adds: -ffp-contract=off here, --fmad=false for NVRTC.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define EMBERLINE_HD __host__ __device__ __forceinline__
#else
#include <math.h>
#include <string.h>
#define EMBERLINE_HD inline
#endif

namespace emberline {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

static_assert(sizeof(u16) == 2 && sizeof(u32) == 4, "packed fields need exact widths");
static_assert(sizeof(u64) == 8 && sizeof(i64) == 8, "keys are 64 bits wide");
static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754 single and double");

#if defined(__BYTE_ORDER__)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tags are compared as packed words");
#endif

// A row number that no row has: the answer of a probe that found nothing.
constexpr u32 kNoRow = 0xFFFFFFFFu;

// Ask for the cache line of `address`; a hint only, without effect on a GPU.
EMBERLINE_HD void prefetch(const void* address) {
#if !defined(__CUDA_ARCH__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

}  // namespace emberline
