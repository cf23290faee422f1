// Rows: slabs of 2^k rows that never move, behind a table of slab pointers.
//
// One slab holds its rows (weights, then optimizer states, padded to 32 bytes), then the
// metadata of these rows as a structure of arrays: key, frequency, last_step, version. So a
// table grows by whole slabs and copies neither rows nor metadata.
#pragma once

#include "half.cuh"

namespace emberline {

struct RowLayout {
  i64 dim;            // weights per row
  RowType row_type;   // of the weights; states are float32
  i64 weight_floats;  // what the weights take, in floats: halves are padded to whole ones
  i64 state_floats;   // optimizer state per row
  i64 stride_floats;  // one row, padded to a multiple of 8 floats
  u32 slab_shift;     // 2^slab_shift rows per slab
  i64 key_offset;     // byte offsets inside a slab
  i64 frequency_offset;
  i64 last_step_offset;
  i64 version_offset;
  i64 slab_bytes;
};

constexpr i64 kMetadataBytes = 8 + 4 + 4 + 4;

// The layout whose slabs hold the most rows within `target_bytes` (at least 16 rows).
EMBERLINE_HD RowLayout make_row_layout(i64 dim, RowType row_type, i64 state_floats,
                                       i64 target_bytes) {
  RowLayout layout{};
  layout.dim = dim;
  layout.row_type = row_type;
  layout.weight_floats = row_type == RowType::float32 ? dim : (dim + 1) / 2;
  layout.state_floats = state_floats;
  layout.stride_floats = (layout.weight_floats + state_floats + 7) / 8 * 8;
  const i64 row_bytes = layout.stride_floats * 4;
  layout.slab_shift = 4;
  while (((row_bytes + kMetadataBytes) << (layout.slab_shift + 1)) <= target_bytes) {
    ++layout.slab_shift;
  }
  const i64 rows = 1ll << layout.slab_shift;
  layout.key_offset = rows * row_bytes;
  layout.frequency_offset = layout.key_offset + rows * 8;
  layout.last_step_offset = layout.frequency_offset + rows * 4;
  layout.version_offset = layout.last_step_offset + rows * 4;
  layout.slab_bytes = (layout.version_offset + rows * 4 + 127) / 128 * 128;
  return layout;
}

struct RowsView {
  u8* const* slabs;
  RowLayout layout;
};

EMBERLINE_HD u8* row_slab(const RowsView& rows, u32 row) {
  return rows.slabs[row >> rows.layout.slab_shift];
}

EMBERLINE_HD i64 row_in_slab(const RowsView& rows, u32 row) {
  return static_cast<i64>(row & ((1u << rows.layout.slab_shift) - 1));
}

// Where a row begins: `dim` weights of float32, or see `row_halves` and `read_weight`; then the
// row's optimizer states.
EMBERLINE_HD float* row_weights(const RowsView& rows, u32 row) {
  return reinterpret_cast<float*>(row_slab(rows, row)) +
         row_in_slab(rows, row) * rows.layout.stride_floats;
}

// `dim` weights of two bytes.
EMBERLINE_HD u16* row_halves(const RowsView& rows, u32 row) {
  return reinterpret_cast<u16*>(row_weights(rows, row));
}

EMBERLINE_HD float* row_states(const RowsView& rows, u32 row) {
  return row_weights(rows, row) + rows.layout.weight_floats;
}

EMBERLINE_HD i64& row_key(const RowsView& rows, u32 row) {
  u8* base = row_slab(rows, row) + rows.layout.key_offset;
  return reinterpret_cast<i64*>(base)[row_in_slab(rows, row)];
}

EMBERLINE_HD u32& row_frequency(const RowsView& rows, u32 row) {
  u8* base = row_slab(rows, row) + rows.layout.frequency_offset;
  return reinterpret_cast<u32*>(base)[row_in_slab(rows, row)];
}

EMBERLINE_HD u32& row_last_step(const RowsView& rows, u32 row) {
  u8* base = row_slab(rows, row) + rows.layout.last_step_offset;
  return reinterpret_cast<u32*>(base)[row_in_slab(rows, row)];
}

EMBERLINE_HD u32& row_version(const RowsView& rows, u32 row) {
  u8* base = row_slab(rows, row) + rows.layout.version_offset;
  return reinterpret_cast<u32*>(base)[row_in_slab(rows, row)];
}

EMBERLINE_HD void row_prefetch(const RowsView& rows, u32 row, i64 floats) {
  const float* weights = row_weights(rows, row);
  for (i64 at = 0; at < floats; at += 16) prefetch(weights + at);
}

}  // namespace emberline
