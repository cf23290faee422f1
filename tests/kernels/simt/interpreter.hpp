// A SIMT interpreter: CUDA's threads as fibers of one CPU thread. Included before the kernels.
//
// Each intrinsic is a point where the scheduler may go on with any other thread, in an order
// drawn from a seed; between such points a thread runs alone. Some threads or warps are starved for
// a while, so that others run far ahead. Warp intrinsics exchange values
// when the 32 threads of a warp have arrived, __syncthreads when a block has. A CAS may be made
// to fail for no reason. Threads of a warp that meet at different intrinsics, or that wait for one
// that has ended, are an error: on a GPU that is undefined or hangs.
#pragma once

#include <cstdint>
#include <cstring>

namespace simt {

struct Index {
  unsigned x;
};
extern Index thread_index, block_index, block_size, grid_size;

enum class Meeting : int { ballot, shuffle, warp, block };

void may_switch();
void meet_block();
void* shared_memory(std::size_t bytes);
bool fails_for_no_reason();

// Give `value` to the warp and get what `lane_offset` lanes below (up) or at `lane ^ mask` gave.
std::uint64_t shuffle_up(std::uint64_t value, unsigned distance);
std::uint64_t shuffle_xor(std::uint64_t value, unsigned mask);
std::uint32_t ballot(bool predicate);
void meet_warp();
void require_all_lanes(unsigned mask);

template <class T>
std::uint64_t word(T value) {
  static_assert(sizeof(T) <= 8, "a shuffle moves one word");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
T unword(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T, class Change>
T atomic_change(T* address, Change change) {
  may_switch();
  const T before = *address;
  *address = change(before);
  may_switch();
  return before;
}

}  // namespace simt

#define EMBERLINE_DEVICE inline
#define EMBERLINE_KERNEL inline void
#define EMBERLINE_SHARED(type, name, count) \
  type* const name = static_cast<type*>(simt::shared_memory(sizeof(type) * (count)))

#define threadIdx simt::thread_index
#define blockIdx simt::block_index
#define blockDim simt::block_size
#define gridDim simt::grid_size

inline void __syncthreads() { simt::meet_block(); }

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  simt::require_all_lanes(mask);
  simt::meet_warp();
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  simt::require_all_lanes(mask);
  return simt::ballot(predicate != 0);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  simt::require_all_lanes(mask);
  return simt::unword<T>(simt::shuffle_up(simt::word(value), distance));
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  simt::require_all_lanes(mask);
  return simt::unword<T>(simt::shuffle_xor(simt::word(value), static_cast<unsigned>(lanes)));
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }

template <class T>
T atomicCAS(T* address, T expected, T desired) {
  if (simt::fails_for_no_reason()) {
    simt::may_switch();
    return static_cast<T>(~expected);
  }
  return simt::atomic_change(address, [=](T now) { return now == expected ? desired : now; });
}

template <class T>
T atomicAdd(T* address, T value) {
  return simt::atomic_change(address, [=](T now) { return static_cast<T>(now + value); });
}

template <class T>
T atomicMin(T* address, T value) {
  return simt::atomic_change(address, [=](T now) { return value < now ? value : now; });
}

template <class T>
T atomicOr(T* address, T value) {
  return simt::atomic_change(address, [=](T now) { return static_cast<T>(now | value); });
}

template <class T>
T atomicAnd(T* address, T value) {
  return simt::atomic_change(address, [=](T now) { return static_cast<T>(now & value); });
}

namespace emberline {

template <class T>
T load_fresh(const T* address) {
  simt::may_switch();
  const T value = *address;
  simt::may_switch();  // whoever stores next what follows from the value has lost updates
  return value;
}

}  // namespace emberline
