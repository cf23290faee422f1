// Distinct keys of a batch: for each position the first one (or the last one) of the same key.
//
// A scratch table of positions: a slot belongs to one key from the moment it is claimed, and an
// integer minimum decides between equal keys, so the answer does not depend on timing.
#pragma once

#include "view.cuh"

namespace emberline {

enum class Part : int { all = 0, missing = 1, present = 2 };

EMBERLINE_DEVICE bool takes_part(Part part, i64 row) {
  return part == Part::all || (part == Part::missing) == (row < 0);
}

// Slots hold this number plus 1, 0 is free. Counted from the end, the least one is the last.
EMBERLINE_DEVICE u32 position_code(i64 position, i64 count, bool last) {
  return static_cast<u32>(last ? count - position : position + 1);
}
EMBERLINE_DEVICE i64 coded_position(u32 code, i64 count, bool last) {
  return last ? count - static_cast<i64>(code) : static_cast<i64>(code) - 1;
}

// The slot of `key`, its code lowered to `code`, or kNoRow after a probe of the whole table. A
// failed CAS says only that the slot must be read again.
EMBERLINE_DEVICE u32 distinct_claim(const i64* keys, i64 count, bool last, i64 key, u64 hash,
                                    u32 code, u32* slots, u64 mask) {
  u64 at = hash & mask;
  for (u64 step = 0; step <= 4 * mask + 4; ++step) {
    const u32 seen = load_fresh(slots + at);
    if (seen == 0) {
      if (atomicCAS(slots + at, 0u, code) == 0u) return static_cast<u32>(at);
    } else if (keys[coded_position(seen, count, last)] == key) {
      if (code < seen) atomicMin(slots + at, code);
      return static_cast<u32>(at);
    } else {
      at = (at + 1) & mask;
    }
  }
  return kNoRow;
}

// `slots`: mask + 1 zeros, a power of two and at least twice `count`.
EMBERLINE_KERNEL emberline_distinct_claim(const DeviceView* table, const i64* keys,
                                          const i64* rows, i64 count, i64 part, i64 last,
                                          u32* slots, i64 mask, u32* slot_of, u64* counters) {
  u32 failed = 0;
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    slot_of[i] = kNoRow;
    if (!takes_part(static_cast<Part>(part), rows[i])) continue;
    slot_of[i] = distinct_claim(keys, count, last != 0, keys[i],
                                hash_key(keys[i], table->index.hash_mask),
                                position_code(i, count, last != 0), slots,
                                static_cast<u64>(mask));
    failed += slot_of[i] == kNoRow;
  }
  add_to_counter(counters + kFailed, failed);
}

// `chosen[i]`: the position that stands for the key of i, or kNoRow. `flags[i]`: i is that one.
EMBERLINE_KERNEL emberline_distinct_choose(const u32* slots, const u32* slot_of, i64 count,
                                           i64 last, u32* chosen, u32* flags) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    chosen[i] = kNoRow;
    if (slot_of[i] != kNoRow) {
      chosen[i] = static_cast<u32>(coded_position(slots[slot_of[i]], count, last != 0));
    }
    flags[i] = chosen[i] == static_cast<u32>(i);
  }
}

// The keys of flagged positions, in order, and their rows; `rank` are the flags' exclusive sums.
EMBERLINE_KERNEL emberline_list_keys(const i64* keys, const i64* rows, const u32* flags,
                                     const u32* rank, i64 count, i64* listed_keys,
                                     u32* listed_rows) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (flags[i] == 0) continue;
    listed_keys[rank[i]] = keys[i];
    if (listed_rows != nullptr) listed_rows[rank[i]] = static_cast<u32>(rows[i]);
  }
}

// How often each distinct key is there, by rank; zeros before.
EMBERLINE_KERNEL emberline_occurrences(const u32* chosen, const u32* rank, i64 count,
                                       u32* occurrences) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (chosen[i] != kNoRow) atomicAdd(occurrences + rank[chosen[i]], 1u);
  }
}

// The positions of keys that are not admitted (by rank) take no part any more.
EMBERLINE_KERNEL emberline_refuse(const u32* rank, const u32* admitted, i64 count, u32* chosen,
                                  u32* flags) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (chosen[i] == kNoRow || admitted[rank[chosen[i]]] != 0) continue;
    chosen[i] = kNoRow;
    flags[i] = 0;
  }
}

}  // namespace emberline
