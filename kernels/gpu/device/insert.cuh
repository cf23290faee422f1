// The index changes: new keys, a rebuild. All keys of one launch are distinct.
#pragma once

#include "view.cuh"

namespace emberline {

// A chunk's eight slots are each lost once at most to another thread; the rest is slack.
constexpr int kClaimAttempts = 64;

// `index_insert_absent` for many threads at a time: the tag is claimed by CAS, row and key follow.
// Nothing reads the index before the launch ends, so their order does not matter. A chunk is left
// only when it has no free slot, which keeps the invariant of index.cuh.
EMBERLINE_DEVICE SlotUse index_claim(const IndexView& index, i64 key, u64 hash, u32 row) {
  const u64 stride = hash_stride(hash);
  u64 at = hash & index.mask;
  for (u64 probe = 0; probe <= index.mask; ++probe) {
    Chunk& chunk = index.chunks[at];
    for (int attempt = 0; attempt < kClaimAttempts; ++attempt) {
      const u64* words = reinterpret_cast<const u64*>(chunk.tag);
      const u64 tags[2] = {load_fresh(words), load_fresh(words + 1)};
      Chunk seen{};
      memcpy(seen.tag, tags, sizeof(tags));
      const u64 empty = tag_matches(seen, kEmpty);
      const u64 free = empty | tag_matches(seen, kTombstone);
      if (free == 0) break;
      const int slot = first_slot(free);
      const bool was_empty = (empty & free & (~free + 1)) != 0;
      const u16 was = was_empty ? kEmpty : kTombstone;
      if (atomicCAS(chunk.tag + slot, was, hash_tag(hash)) != was) continue;
      chunk.row[slot] = row;
      chunk.key[slot] = key;
      return was_empty ? SlotUse::empty : SlotUse::tombstone;
    }
    at = (at + stride) & index.mask;
  }
  return SlotUse::full;
}

EMBERLINE_DEVICE void start_metadata(const DeviceView& table, u32 row, i64 key, u32 version) {
  row_key(table.rows, row) = key;
  row_frequency(table.rows, row) = 0;
  row_last_step(table.rows, row) = 0;
  row_version(table.rows, row) = version;
  atomicOr(table.live + row / 64, u64{1} << (row % 64));
}

// Absent keys get their rows: `chosen` and `rank` are those of their distinct keys.
EMBERLINE_KERNEL emberline_insert(const DeviceView* table, const i64* keys, const u32* chosen,
                                  const u32* rank, i64 count, i64 free_count, i64 row_limit,
                                  i64 version, i64* rows, u64* counters) {
  u32 reused = 0;
  u32 failed = 0;
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (chosen[i] == kNoRow) continue;
    const u32 row = new_row(*table, rank[chosen[i]], free_count, row_limit);
    rows[i] = row;
    if (chosen[i] != static_cast<u32>(i)) continue;
    start_metadata(*table, row, keys[i], static_cast<u32>(version));
    const u64 hash = hash_key(keys[i], table->index.hash_mask);
    const SlotUse use = index_claim(table->index, keys[i], hash, row);
    reused += use == SlotUse::tombstone;
    failed += use == SlotUse::full;
  }
  add_to_counter(counters + kTombstones, reused);
  add_to_counter(counters + kFailed, failed);
}

// Lanes 2 * pair and, where it exists, 2 * pair + 1 of a new row.
struct WritePair {
  float* row;
  i64 pair;
  i64 dim;
  const float* drawn;

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    write_weight<type>(row, 2 * pair, drawn[0], Nearest{});
    if (2 * pair + 1 < dim) write_weight<type>(row, 2 * pair + 1, drawn[1], Nearest{});
  }
};

// Weights and states of the new rows of rank 0 .. count - 1, whose keys are in place. Weights are
// zeros unless `initial`.
EMBERLINE_KERNEL emberline_initialize(const DeviceView* table, i64 count, i64 free_count,
                                      i64 row_limit, i64 initial) {
  const RowsView rows = table->rows;
  const i64 pairs = (rows.layout.dim + 1) / 2;
  const i64 items = pairs + rows.layout.state_floats;
  const int shift = tile_shift(items);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const u32 row = new_row(*table, i >> shift, free_count, row_limit);
    const u64 stream = initializer_stream(table->seed, row_key(rows, row));
    for (i64 item = i & ((1 << shift) - 1); item < items; item += 1 << shift) {
      if (item < pairs) {
        float drawn[2] = {0.0f, 0.0f};
        if (initial != 0) {
          initialize_pair(table->initializer, initializer_skip(stream, item), 0, 2, drawn);
        }
        visit_row_type(rows.layout.row_type,
                       WritePair{row_weights(rows, row), item, rows.layout.dim, drawn});
      } else {
        row_states(rows, row)[item - pairs] =
            optimizer_initial_state(table->optimizer, rows.layout.dim, item - pairs);
      }
    }
  }
}

// Every live row's key into a new, empty index; rows stay where they are.
EMBERLINE_KERNEL emberline_rebuild(const DeviceView* table, i64 row_limit, u64* counters) {
  u32 failed = 0;
  for (i64 i = thread_number(); i < row_limit; i += thread_count()) {
    const u32 row = static_cast<u32>(i);
    if (!is_live(*table, row)) continue;
    const i64 key = row_key(table->rows, row);
    const u64 hash = hash_key(key, table->index.hash_mask);
    failed += index_claim(table->index, key, hash, row) == SlotUse::full;
  }
  add_to_counter(counters + kFailed, failed);
}

}  // namespace emberline
