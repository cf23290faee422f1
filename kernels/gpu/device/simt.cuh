// What the device kernels stand on: threads, warps, shared memory, and reads that see atomics.
//
// Only plain intrinsics (atomicCAS, __shfl_up_sync, __ballot_sync), as cooperative groups and
// cuda::atomic cost seconds under NVRTC. The host build is the interpreter of the tests, which
// defines the same names over fibers before it includes this.
#pragma once

#include "platform.cuh"

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define EMBERLINE_DEVICE __device__ __forceinline__
// Three blocks a multiprocessor, so up to 80 registers: left to itself ptxas takes 32 and spills.
#define EMBERLINE_KERNEL extern "C" __global__ __launch_bounds__(256, 3) void
#define EMBERLINE_SHARED(type, name, count) __shared__ type name[count]
#elif !defined(EMBERLINE_DEVICE)
#error "device kernels are compiled by NVRTC, or by the interpreter of tests/kernels/simt"
#endif

namespace emberline {

constexpr u32 kAllLanes = 0xFFFFFFFFu;
constexpr int kWarp = 32;
constexpr int kMostWarps = 8;  // of a block: EMBERLINE_KERNEL promises at most 256 threads

// Grid-stride loops: for (i64 i = thread_number(); i < count; i += thread_count()).
EMBERLINE_DEVICE i64 thread_number() {
  return static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
}
EMBERLINE_DEVICE i64 thread_count() { return static_cast<i64>(gridDim.x) * blockDim.x; }

EMBERLINE_DEVICE u32 lane_number() { return threadIdx.x % kWarp; }
EMBERLINE_DEVICE u32 warp_in_block() { return threadIdx.x / kWarp; }

// Adjacent threads that share the lanes of one row: 2^shift of them, at most a warp, so that
// small rows waste no thread and no index needs a division.
EMBERLINE_DEVICE int tile_shift(i64 lanes) {
  int shift = 0;
  while (shift < 5 && (1 << shift) < lanes) ++shift;
  return shift;
}

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
// Past the first-level cache, which does not see what other blocks' atomics wrote.
template <class T>
EMBERLINE_DEVICE T load_fresh(const T* address) {
  return *static_cast<const volatile T*>(address);
}
#endif

// Sum over the lanes up to and including this one; every lane of the warp calls it.
EMBERLINE_DEVICE u32 warp_inclusive_sum(u32 value) {
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const u32 below = __shfl_up_sync(kAllLanes, value, distance);
    if (lane_number() >= static_cast<u32>(distance)) value += below;
  }
  return value;
}

// One atomic a warp in place of 32; every lane of the warp calls it.
EMBERLINE_DEVICE void add_to_counter(u64* counter, u32 value) {
  const u32 sum = warp_inclusive_sum(value);
  if (lane_number() == kWarp - 1 && sum != 0) atomicAdd(counter, static_cast<u64>(sum));
}

}  // namespace emberline
