// Upkeep of the whole table: decay, the moves of a shrink, empty slabs, and what `stats` and
// `check` count.
#pragma once

#include "view.cuh"

namespace emberline {

// floor(frequency * factor): a double holds the product to well below one.
EMBERLINE_KERNEL emberline_decay(const DeviceView* table, i64 row_limit, const double* factor) {
  for (i64 i = thread_number(); i < row_limit; i += thread_count()) {
    const u32 row = static_cast<u32>(i);
    if (!is_live(*table, row)) continue;
    u32& frequency = row_frequency(table->rows, row);
    frequency = static_cast<u32>(static_cast<double>(frequency) * *factor);
  }
}

// used[slab]: it has a live row. Threads that write the same word write the same value.
EMBERLINE_KERNEL emberline_mark_slabs(const DeviceView* table, i64 row_limit, u32* used) {
  for (i64 i = thread_number(); i < row_limit; i += thread_count()) {
    if (is_live(*table, static_cast<u32>(i))) used[i >> table->rows.layout.slab_shift] = 1;
  }
}

// Row from[i] moves to the dead row to[i], with all it has, and its key's slot follows. Probes read
// tags and keys, so they hold while other threads change row numbers.
EMBERLINE_KERNEL emberline_move_rows(const DeviceView* table, const u32* from, const u32* to,
                                     i64 count) {
  const RowsView rows = table->rows;
  const IndexView index = table->index;
  const i64 floats = rows.layout.stride_floats;
  const int shift = tile_shift(floats);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const u32 source = from[i >> shift];
    const u32 target = to[i >> shift];
    const i64 first = i & ((1 << shift) - 1);
    const float* read = row_weights(rows, source);
    float* write = row_weights(rows, target);
    for (i64 lane = first; lane < floats; lane += 1 << shift) write[lane] = read[lane];
    if (first != 0) continue;
    const i64 key = row_key(rows, source);
    const IndexPosition position = index_locate(index, key, hash_key(key, index.hash_mask));
    if (position.slot < 0) continue;  // only in a corrupt table, which `check` names
    index.chunks[position.chunk].row[position.slot] = target;
    row_key(rows, target) = key;
    row_frequency(rows, target) = row_frequency(rows, source);
    row_last_step(rows, target) = row_last_step(rows, source);
    row_version(rows, target) = row_version(rows, source);
    atomicOr(table->live + target / 64, u64{1} << (target % 64));
    atomicAnd(table->live + source / 64, ~(u64{1} << (source % 64)));
  }
}

// probes[p]: keys that a look-up finds after p other chunks; kProbeBuckets zeros before.
EMBERLINE_KERNEL emberline_probe_lengths(const DeviceView* table, i64 chunk_count, u64* probes) {
  EMBERLINE_SHARED(u32, counts, kProbeBuckets);
  const IndexView index = table->index;
  if (threadIdx.x < kProbeBuckets) counts[threadIdx.x] = 0;
  __syncthreads();
  for (i64 i = thread_number(); i < chunk_count * kSlots; i += thread_count()) {
    const Chunk& chunk = index.chunks[i / kSlots];
    if (chunk.tag[i % kSlots] <= kTombstone) continue;
    const i64 key = chunk.key[i % kSlots];
    atomicAdd(counts + index_chunks_passed(index, key, static_cast<u64>(i / kSlots)), 1u);
  }
  __syncthreads();
  if (threadIdx.x < kProbeBuckets && counts[threadIdx.x] != 0) {
    atomicAdd(probes + threadIdx.x, static_cast<u64>(counts[threadIdx.x]));
  }
}

// Of live rows, for the check of all invariants; others stay as they are.
EMBERLINE_KERNEL emberline_row_metadata(const DeviceView* table, i64 count, i64* keys,
                                        u32* last_step, u32* version) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const u32 row = static_cast<u32>(i);
    if (!is_live(*table, row)) continue;
    keys[i] = row_key(table->rows, row);
    last_step[i] = row_last_step(table->rows, row);
    version[i] = row_version(table->rows, row);
  }
}

}  // namespace emberline
