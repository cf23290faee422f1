// From keys to rows, read-only, and the checks of arguments before anything is written.
#pragma once

#include "view.cuh"

namespace emberline {

EMBERLINE_KERNEL emberline_find(const DeviceView* table, const i64* keys, i64 count, i64* rows,
                                u64* counters) {
  const IndexView index = table->index;
  u32 missing = 0;
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const u32 row = index_find(index, keys[i], hash_key(keys[i], index.hash_mask));
    rows[i] = row == kNoRow ? -1 : static_cast<i64>(row);
    missing += row == kNoRow;
  }
  add_to_counter(counters + kMissing, missing);
}

// Each row is -1 or that of a live key; kValid counts the latter.
EMBERLINE_KERNEL emberline_check_rows(const DeviceView* table, const i64* rows, i64 count,
                                      i64 row_limit, u64* counters) {
  u32 valid = 0;
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const i64 row = rows[i];
    if (row == -1) continue;
    const bool live = row >= 0 && row < row_limit && is_live(*table, static_cast<u32>(row));
    valid += live;
    if (!live) atomicMin(counters + kBad, static_cast<u64>(i));
  }
  add_to_counter(counters + kValid, valid);
}

EMBERLINE_KERNEL emberline_check_source(const i64* source, i64 count, i64 limit, u64* counters) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (source[i] >= 0 && source[i] < limit) continue;
    atomicMin(counters + kBad, static_cast<u64>(i));
  }
}

// Offsets start at 0, never fall and end at `count`.
EMBERLINE_KERNEL emberline_check_offsets(const i64* offsets, i64 segments, i64 count,
                                         u64* counters) {
  for (i64 s = thread_number(); s <= segments; s += thread_count()) {
    const i64 least = s == 0 ? 0 : offsets[s - 1];
    const i64 most = s == 0 ? 0 : count;
    const bool complete = s < segments || offsets[s] == count;
    if (offsets[s] >= least && offsets[s] <= most && complete) continue;
    atomicMin(counters + kBad, static_cast<u64>(s));
  }
}

}  // namespace emberline
