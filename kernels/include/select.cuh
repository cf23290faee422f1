// Which rows a policy evicts: the exact n-th row in eviction order, by histograms that narrow.
//
// No sort: a pass counts the values of an interval in 2,048 buckets and keeps the bucket with the
// wanted rank; the next pass splits that one. Counts do not depend on the order in which they are
// made, so neither does the result.
#pragma once

#include "platform.cuh"

namespace emberline {

constexpr u32 kSelectBuckets = 2048;

// The column of metadata that a policy looks at; rows of low score go first.
enum class Score : int { frequency = 0, last_step = 1 };

// Larger keys first: of two rows with one score, that of the smaller key stays. Categorify gives
// small ids to frequent categories, so this is also the better one to keep.
EMBERLINE_HD u64 eviction_key_order(i64 key) {
  return ~(static_cast<u64>(key) ^ (u64{1} << 63));
}

// The last row to evict, in the order (score, eviction_key_order(key)).
struct EvictionCut {
  u32 score;
  u64 key_order;
};

EMBERLINE_HD bool is_evicted(const EvictionCut& cut, u32 score, i64 key) {
  // Without a branch, as ties are common: see RowBlock::choose.
  return (score < cut.score) | ((score == cut.score) & (eviction_key_order(key) <= cut.key_order));
}

// Bits to drop so that [low, high] fits into the buckets.
EMBERLINE_HD int select_shift(u64 low, u64 high) {
  int shift = 0;
  while ((high - low) >> shift >= kSelectBuckets) ++shift;
  return shift;
}

EMBERLINE_HD u32 select_bucket(u64 value, u64 low, int shift) {
  return static_cast<u32>((value - low) >> shift);
}

// The bucket of the value with rank `*rank` (from 0), which becomes its rank in the bucket.
EMBERLINE_HD u32 select_bucket_of_rank(const u64* histogram, u64* rank) {
  u32 bucket = 0;
  while (bucket + 1 < kSelectBuckets && *rank >= histogram[bucket]) *rank -= histogram[bucket++];
  return bucket;
}

}  // namespace emberline
