// Exclusive prefix sums: within tiles, over the tiles' totals, and added up.
#pragma once

#include "view.cuh"

namespace emberline {

constexpr i64 kScanTile = 1024;

// Exclusive sum over the block, which calls it together; `*total` is that of the block.
EMBERLINE_DEVICE u32 block_exclusive_sum(u32 value, u32* warp_sums, u32* total) {
  const u32 inclusive = warp_inclusive_sum(value);
  const u32 warps = blockDim.x / kWarp;
  if (lane_number() == kWarp - 1) warp_sums[warp_in_block()] = inclusive;
  __syncthreads();
  if (warp_in_block() == 0) {
    const u32 sum = warp_inclusive_sum(lane_number() < warps ? warp_sums[lane_number()] : 0);
    if (lane_number() < warps) warp_sums[lane_number()] = sum;
  }
  __syncthreads();
  const u32 before = warp_in_block() == 0 ? 0 : warp_sums[warp_in_block() - 1];
  *total = warp_sums[warps - 1];
  __syncthreads();  // before the next call writes warp_sums
  return before + inclusive - value;
}

// Exclusive sums of values[begin .. end) by one block, which calls it together.
EMBERLINE_DEVICE u32 block_scan(const u32* values, u32* sums, i64 begin, i64 end,
                                u32* warp_sums) {
  u32 carry = 0;
  for (i64 base = begin; base < end; base += blockDim.x) {
    const i64 i = base + threadIdx.x;
    u32 total = 0;
    const u32 before = block_exclusive_sum(i < end ? values[i] : 0, warp_sums, &total);
    if (i < end) sums[i] = carry + before;
    carry += total;
  }
  return carry;
}

EMBERLINE_KERNEL emberline_scan_tiles(const u32* values, i64 count, u32* sums, u32* totals) {
  EMBERLINE_SHARED(u32, warp_sums, kMostWarps);
  for (i64 tile = blockIdx.x; tile * kScanTile < count; tile += gridDim.x) {
    const i64 begin = tile * kScanTile;
    const i64 end = begin + kScanTile < count ? begin + kScanTile : count;
    const u32 total = block_scan(values, sums, begin, end, warp_sums);
    if (threadIdx.x == 0) totals[tile] = total;
  }
}

// One block, in place: a thread reads its element before the block's sum is written.
EMBERLINE_KERNEL emberline_scan_totals(u32* totals, i64 tiles, u64* counters) {
  EMBERLINE_SHARED(u32, warp_sums, kMostWarps);
  if (blockIdx.x != 0) return;
  const u32 total = block_scan(totals, totals, 0, tiles, warp_sums);
  if (threadIdx.x == 0) counters[kTotal] = total;
}

EMBERLINE_KERNEL emberline_scan_add(u32* sums, i64 count, const u32* totals) {
  for (i64 i = thread_number(); i < count; i += thread_count()) sums[i] += totals[i / kScanTile];
}

}  // namespace emberline
