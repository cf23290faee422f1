// Stable radix sort of row << 32 | position words, 8 bits a pass, least significant first.
//
// A warp owns a run of consecutive words: it counts their digits, the counts are scanned digit by
// digit and run by run, and the same warp then places its words in order. No atomics, so equal
// rows stay in order of position.
#pragma once

#include "view.cuh"

namespace emberline {

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr i64 kRun = 512;

// Ignored rows (-1) sort behind all others.
EMBERLINE_KERNEL emberline_sort_words(const i64* rows, i64 count, i64 row_limit, u64* words) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const u64 row = static_cast<u64>(rows[i] < 0 ? row_limit : rows[i]);
    words[i] = row << 32 | static_cast<u64>(i);
  }
}

EMBERLINE_DEVICE u32 digit_of(u64 word, i64 shift) {
  return static_cast<u32>(word >> shift) & (kDigits - 1);
}

// The lanes that hold a word of the same digit; the whole warp calls it.
EMBERLINE_DEVICE u32 same_digit_lanes(u32 digit, bool valid) {
  u32 lanes = __ballot_sync(kAllLanes, valid);
  for (int bit = 0; bit < kDigitBits; ++bit) {
    const u32 ones = __ballot_sync(kAllLanes, (digit >> bit & 1) != 0);
    lanes &= (digit >> bit & 1) != 0 ? ones : ~ones;
  }
  return lanes;
}

// Words of each digit in each run: counts[digit * runs + run].
EMBERLINE_KERNEL emberline_sort_count(const u64* words, i64 count, i64 shift, i64 runs,
                                      u32* counts) {
  EMBERLINE_SHARED(u32, shared, kMostWarps * kDigits);
  u32* mine = shared + warp_in_block() * kDigits;
  for (i64 run = thread_number() / kWarp; run < runs; run += thread_count() / kWarp) {
    for (u32 digit = lane_number(); digit < kDigits; digit += kWarp) mine[digit] = 0;
    __syncwarp();
    for (i64 base = run * kRun; base < (run + 1) * kRun && base < count; base += kWarp) {
      const i64 i = base + lane_number();
      const bool valid = i < count;
      const u32 digit = valid ? digit_of(words[i], shift) : 0;
      const u32 lanes = same_digit_lanes(digit, valid);
      if (valid && (lanes & ((1u << lane_number()) - 1)) == 0) mine[digit] += __popc(lanes);
      __syncwarp();
    }
    for (u32 digit = lane_number(); digit < kDigits; digit += kWarp) {
      counts[digit * runs + run] = mine[digit];
    }
    __syncwarp();
  }
}

// `starts`: the exclusive sums of the counts.
EMBERLINE_KERNEL emberline_sort_place(const u64* words, i64 count, i64 shift, i64 runs,
                                      const u32* starts, u64* sorted) {
  EMBERLINE_SHARED(u32, shared, kMostWarps * kDigits);
  u32* next = shared + warp_in_block() * kDigits;
  for (i64 run = thread_number() / kWarp; run < runs; run += thread_count() / kWarp) {
    for (u32 digit = lane_number(); digit < kDigits; digit += kWarp) {
      next[digit] = starts[digit * runs + run];
    }
    __syncwarp();
    for (i64 base = run * kRun; base < (run + 1) * kRun && base < count; base += kWarp) {
      const i64 i = base + lane_number();
      const bool valid = i < count;
      const u64 word = valid ? words[i] : 0;
      const u32 digit = digit_of(word, shift);
      const u32 lanes = same_digit_lanes(digit, valid);
      const u32 before = static_cast<u32>(__popc(lanes & ((1u << lane_number()) - 1)));
      if (valid) sorted[next[digit] + before] = word;
      __syncwarp();  // all have read `next`
      if (valid && before == 0) next[digit] += __popc(lanes);
      __syncwarp();
    }
  }
}

}  // namespace emberline
