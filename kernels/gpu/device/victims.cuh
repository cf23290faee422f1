// Which rows leave: the exact cut of an eviction (select.cuh), and the rows up to it in row order.
#pragma once

#include "scan.cuh"
#include "select.cuh"
#include "view.cuh"

namespace emberline {

enum class Stage : u32 { scores = 0, ties = 1, done = 2 };

// The search for an EvictionCut, which passes over all rows narrow: first for the score of the
// last row to leave, then, where not all rows of that score leave, for its key.
struct Selection {
  u64 low;  // the interval of the wanted value
  u64 high;
  u64 rank;  // from 0, in the interval
  Stage stage;
  EvictionCut cut;
};
static_assert(sizeof(Selection) <= 64, "the host allocates 64 bytes for a selection");

// The cut of the `count` rows that leave first.
EMBERLINE_KERNEL emberline_start_selection(Selection* selection, i64 count) {
  if (thread_number() != 0) return;
  *selection = {0, 0xFFFFFFFFull, static_cast<u64>(count - 1), Stage::scores, {0, ~u64{0}}};
}

// The cut of all rows whose score is below `score`, at least 1.
EMBERLINE_KERNEL emberline_select_below(Selection* selection, i64 score) {
  if (thread_number() != 0) return;
  *selection = {0, 0, 0, Stage::done, {static_cast<u32>(score - 1), ~u64{0}}};
}

EMBERLINE_DEVICE u32 row_score(const RowsView& rows, i64 score, u32 row) {
  return static_cast<Score>(score) == Score::frequency ? row_frequency(rows, row)
                                                       : row_last_step(rows, row);
}

// `skip`: one bit per row, or null.
EMBERLINE_DEVICE bool may_leave(const DeviceView& table, const u64* skip, u32 row) {
  return is_live(table, row) && (skip == nullptr || (skip[row / 64] >> (row % 64) & 1) == 0);
}

// Counts of the values in the interval, by bucket; in shared memory first, as few buckets get many.
EMBERLINE_KERNEL emberline_select_count(const DeviceView* table, i64 row_limit, i64 score,
                                        const u64* skip, const Selection* selection,
                                        u64* histogram) {
  EMBERLINE_SHARED(u32, counts, kSelectBuckets);
  const Selection wanted = *selection;
  if (wanted.stage == Stage::done) return;  // for every thread of the grid
  for (u32 bucket = threadIdx.x; bucket < kSelectBuckets; bucket += blockDim.x) {
    counts[bucket] = 0;
  }
  __syncthreads();
  const int shift = select_shift(wanted.low, wanted.high);
  for (i64 i = thread_number(); i < row_limit; i += thread_count()) {
    const u32 row = static_cast<u32>(i);
    if (!may_leave(*table, skip, row)) continue;
    u64 value = row_score(table->rows, score, row);
    if (wanted.stage == Stage::ties) {
      if (value != wanted.cut.score) continue;
      value = eviction_key_order(row_key(table->rows, row));
    }
    if (value - wanted.low > wanted.high - wanted.low) continue;
    atomicAdd(counts + select_bucket(value, wanted.low, shift), 1u);
  }
  __syncthreads();
  for (u32 bucket = threadIdx.x; bucket < kSelectBuckets; bucket += blockDim.x) {
    if (counts[bucket] != 0) atomicAdd(histogram + bucket, static_cast<u64>(counts[bucket]));
  }
}

// The interval becomes the bucket of the wanted rank, whose `rank` and number of values are given.
EMBERLINE_DEVICE void narrow(Selection& wanted, u32 bucket, u64 rank, u64 values) {
  const int shift = select_shift(wanted.low, wanted.high);
  wanted.rank = rank;
  wanted.low += static_cast<u64>(bucket) << shift;
  const u64 width = (u64{1} << shift) - 1;
  if (wanted.high - wanted.low > width) wanted.high = wanted.low + width;
  if (shift != 0) return;  // a bucket holds several values yet
  if (wanted.stage == Stage::ties) {
    wanted.cut.key_order = wanted.low;
    wanted.stage = Stage::done;
    return;
  }
  wanted.cut.score = static_cast<u32>(wanted.low);
  wanted.stage = rank + 1 == values ? Stage::done : Stage::ties;  // done: all ties leave
  wanted.low = 0;
  wanted.high = ~u64{0};
}

// One block: each thread sums a run of buckets, and the one whose run has the rank walks it.
EMBERLINE_KERNEL emberline_select_narrow(Selection* selection, u64* histogram) {
  EMBERLINE_SHARED(u32, warp_sums, kMostWarps);
  if (blockIdx.x != 0) return;
  const Selection wanted = *selection;
  const u32 run = (kSelectBuckets + blockDim.x - 1) / blockDim.x;
  const u32 begin = threadIdx.x * run < kSelectBuckets ? threadIdx.x * run : kSelectBuckets;
  const u32 end = begin + run < kSelectBuckets ? begin + run : kSelectBuckets;
  u32 sum = 0;
  for (u32 bucket = begin; bucket < end; ++bucket) sum += static_cast<u32>(histogram[bucket]);
  u32 total = 0;
  const u32 before = block_exclusive_sum(sum, warp_sums, &total);
  const bool here = wanted.rank >= before && wanted.rank - before < sum;
  if (wanted.stage != Stage::done && here) {
    u64 rank = wanted.rank - before;
    u32 bucket = begin;
    while (rank >= histogram[bucket]) rank -= histogram[bucket++];
    Selection next = wanted;
    narrow(next, bucket, rank, histogram[bucket]);
    *selection = next;
  }
  for (u32 bucket = begin; bucket < end; ++bucket) histogram[bucket] = 0;  // for the next pass
}

// One bit per row that leaves: masks of 32 rows, and how many bits each has.
EMBERLINE_KERNEL emberline_mark_victims(const DeviceView* table, i64 row_limit, i64 score,
                                        const u64* skip, const Selection* selection, u32* masks,
                                        u32* counts) {
  const EvictionCut cut = selection->cut;
  // Whole warps go round together, as they vote.
  for (i64 i = thread_number(); (i & -kWarp) < row_limit; i += thread_count()) {
    const u32 row = static_cast<u32>(i);
    const bool leaves =
        i < row_limit && may_leave(*table, skip, row) &&
        is_evicted(cut, row_score(table->rows, score, row), row_key(table->rows, row));
    const u32 mask = __ballot_sync(kAllLanes, leaves);
    if (lane_number() != 0) continue;
    masks[i / kWarp] = mask;
    counts[i / kWarp] = static_cast<u32>(__popc(mask));
  }
}

// The same for the rows of [start, start + count) that are live, or that are not.
EMBERLINE_KERNEL emberline_mark_live(const DeviceView* table, i64 start, i64 count, i64 live,
                                     u32* masks, u32* counts) {
  for (i64 i = thread_number(); (i & -kWarp) < count; i += thread_count()) {
    const bool chosen = i < count && is_live(*table, static_cast<u32>(start + i)) == (live != 0);
    const u32 mask = __ballot_sync(kAllLanes, chosen);
    if (lane_number() != 0) continue;
    masks[i / kWarp] = mask;
    counts[i / kWarp] = static_cast<u32>(__popc(mask));
  }
}

// The marked rows, ascending: `sums` are the exclusive sums of the masks' counts. `keys` may be
// null.
EMBERLINE_KERNEL emberline_list_rows(const DeviceView* table, i64 start, i64 count,
                                     const u32* masks, const u32* sums, u32* rows, i64* keys) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const u32 mask = masks[i / kWarp];
    const u32 bit = 1u << (i % kWarp);
    if ((mask & bit) == 0) continue;
    const u32 to = sums[i / kWarp] + static_cast<u32>(__popc(mask & (bit - 1)));
    const u32 row = static_cast<u32>(start + i);
    rows[to] = row;
    if (keys != nullptr) keys[to] = row_key(table->rows, row);
  }
}

// The rows of a batch, which may not leave; kTotal counts the distinct ones. -1 is none.
EMBERLINE_KERNEL emberline_mark_batch(const i64* rows, i64 count, u64* bits, u64* counters) {
  u32 distinct = 0;
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (rows[i] < 0) continue;
    const u64 bit = u64{1} << (rows[i] % 64);
    distinct += (atomicOr(bits + rows[i] / 64, bit) & bit) == 0;
  }
  add_to_counter(counters + kTotal, distinct);
}

// Distinct live rows leave the index and join the free list: the first one last, so that it is
// reused first, or in order. No slot turns EMPTY in a chunk that has none, and none is taken, so
// what `index_erase` reads of a chunk holds whatever the other threads do.
EMBERLINE_KERNEL emberline_remove(const DeviceView* table, const u32* rows, i64 count,
                                  i64 free_count, i64 reversed, u64* counters) {
  const IndexView index = table->index;
  u32 tombstones = 0;
  u32 failed = 0;
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const u32 row = rows[i];
    const i64 key = row_key(table->rows, row);
    const IndexPosition position = index_locate(index, key, hash_key(key, index.hash_mask));
    failed += position.slot < 0;
    if (position.slot < 0) continue;  // only in a corrupt table
    tombstones += index_erase(index, position) == SlotUse::tombstone;
    atomicAnd(table->live + row / 64, ~(u64{1} << (row % 64)));
    table->free_rows[free_count + (reversed != 0 ? count - 1 - i : i)] = row;
  }
  add_to_counter(counters + kTombstones, tombstones);
  add_to_counter(counters + kFailed, failed);
}

}  // namespace emberline
