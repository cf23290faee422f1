// The table as kernels see it: one structure in device memory, made and changed by kernels, so
// that the host knows neither its layout nor that of a row.
#pragma once

#include "index.cuh"
#include "initializers.cuh"
#include "optimizers.cuh"
#include "rows.cuh"
#include "simt.cuh"

namespace emberline {

struct DeviceView {
  IndexView index;
  RowsView rows;
  u64* live;       // one bit per row
  u32* free_rows;  // erased rows; the last one is reused first
  InitializerConfig initializer;
  OptimizerConfig optimizer;
  u64 seed;
};
static_assert(sizeof(DeviceView) <= 512, "the host allocates 512 bytes for a view");
static_assert(sizeof(OptimizerConfig) % 4 == 0 && sizeof(InitializerConfig) == 12,
              "the host packs the settings as 4-byte fields in order");

// What a step reports to the host, as u64 words.
enum Counter : int {
  kMissing = 0,     // keys that a probe did not find
  kTotal = 1,       // the sum of the last scan, or another count
  kTombstones = 2,  // change of their number, wrapping
  kFailed = 3,      // keys without the slot that they must have or get: never in a sound table
  kBad = 4,         // the first position of a wrong argument
  kValid = 5,       // rows of a batch that are not ignored
};

EMBERLINE_DEVICE bool is_live(const DeviceView& table, u32 row) {
  return (table.live[row / 64] >> (row % 64) & 1) != 0;
}

// The row of the `rank`-th new key: erased rows first, the last erased one before others.
EMBERLINE_DEVICE u32 new_row(const DeviceView& table, i64 rank, i64 free_count, i64 row_limit) {
  if (rank < free_count) return table.free_rows[free_count - 1 - rank];
  return static_cast<u32>(row_limit + rank - free_count);
}

EMBERLINE_KERNEL emberline_make_view(DeviceView* table, i64* layout, i64 dim, i64 row_type,
                                     i64 slab_target, i64 hash_mask, i64 seed,
                                     const OptimizerConfig* optimizer,
                                     const InitializerConfig* initializer) {
  if (thread_number() != 0) return;
  DeviceView view{};
  view.index.hash_mask = static_cast<u64>(hash_mask);
  view.rows.layout =
      make_row_layout(dim, static_cast<RowType>(row_type),
                      optimizer_state_floats(optimizer->kind, dim), slab_target);
  view.initializer = *initializer;
  view.optimizer = *optimizer;
  view.seed = static_cast<u64>(seed);
  *table = view;
  layout[0] = view.rows.layout.slab_shift;
  layout[1] = view.rows.layout.slab_bytes;
  layout[2] = view.rows.layout.state_floats;
  layout[3] = static_cast<i64>(sizeof(Chunk));
  layout[4] = static_cast<i64>(kUsedPerChunk);
  layout[5] = kMetadataBytes;
  layout[6] = static_cast<i64>(sizeof(OptimizerConfig));
}

EMBERLINE_KERNEL emberline_set_index(DeviceView* table, Chunk* chunks, i64 chunk_count) {
  if (thread_number() != 0) return;
  table->index.chunks = chunks;
  table->index.mask = static_cast<u64>(chunk_count - 1);
}

EMBERLINE_KERNEL emberline_set_rows(DeviceView* table, u8* const* slabs, u64* live,
                                    u32* free_rows) {
  if (thread_number() != 0) return;
  table->rows.slabs = slabs;
  table->live = live;
  table->free_rows = free_rows;
}

}  // namespace emberline
