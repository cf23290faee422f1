// Whole rows in and out: assign, import, export.
#pragma once

#include "lanes.cuh"
#include "view.cuh"

namespace emberline {

// Null: that part of the row stays. `chosen` is the last position of each key.
EMBERLINE_KERNEL emberline_write_rows(const DeviceView* table, const i64* rows, const u32* chosen,
                                      i64 count, const float* values, i64 values_stride,
                                      const float* states, const u32* frequency,
                                      const u32* last_step, i64 version) {
  const RowsView view = table->rows;
  const i64 dim = view.layout.dim;
  const i64 state_floats = view.layout.state_floats;
  const int shift = tile_shift(dim);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const i64 at = i >> shift;
    const i64 first = i & ((1 << shift) - 1);
    if (chosen[at] != static_cast<u32>(at)) continue;
    const u32 row = static_cast<u32>(rows[at]);
    visit_row_type(view.layout.row_type,
                   WriteLanes{row_weights(view, row), {first, 1 << shift, dim},
                              values + at * values_stride});
    float* to = row_states(view, row);
    for (i64 lane = first; states != nullptr && lane < state_floats; lane += 1 << shift) {
      to[lane] = states[at * state_floats + lane];
    }
    if (first != 0) continue;
    if (frequency != nullptr) row_frequency(view, row) = frequency[at];
    if (last_step != nullptr) row_last_step(view, row) = last_step[at];
    row_version(view, row) = static_cast<u32>(version);
  }
}

EMBERLINE_KERNEL emberline_widen(const u32* from, i64 count, i64* to) {
  for (i64 i = thread_number(); i < count; i += thread_count()) to[i] = from[i];
}

// A segment's values onto its row, one after the other: each sum is rounded to the row's type, as
// if each position had been a call.
struct AddLanes {
  float* row;
  TileLanes lanes;
  const u32* positions;
  i64 count;
  const float* values;
  i64 stride;

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    for (i64 lane = lanes.first; lane < lanes.dim; lane += lanes.width) {
      for (i64 i = 0; i < count; ++i) {
        const float sum = read_weight<type>(row, lane) + values[positions[i] * stride + lane];
        write_weight<type>(row, lane, sum, Nearest{});
      }
    }
  }
};

// Segments of positions with equal keys; rows[i] is that of position i.
EMBERLINE_KERNEL emberline_add(const DeviceView* table, const i64* rows, const u32* starts,
                               const u32* positions, const u64* counters, const float* values,
                               i64 values_stride, i64 version) {
  const RowsView view = table->rows;
  const i64 segments = static_cast<i64>(counters[kTotal]);
  const i64 valid = static_cast<i64>(counters[kValid]);
  const i64 dim = view.layout.dim;
  const int shift = tile_shift(dim);
  for (i64 i = thread_number(); i < segments << shift; i += thread_count()) {
    const i64 segment = i >> shift;
    const i64 first = i & ((1 << shift) - 1);
    const i64 begin = starts[segment];
    const i64 end = segment + 1 < segments ? static_cast<i64>(starts[segment + 1]) : valid;
    const u32 row = static_cast<u32>(rows[positions[begin]]);
    visit_row_type(view.layout.row_type,
                   AddLanes{row_weights(view, row), {first, 1 << shift, dim}, positions + begin,
                            end - begin, values, values_stride});
    if (first == 0) row_version(view, row) = static_cast<u32>(version);
  }
}

// flags[i]: row start + i is live and written after version `since`.
EMBERLINE_KERNEL emberline_mark_rows(const DeviceView* table, i64 start, i64 count, i64 since,
                                     u32* flags) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const u32 row = static_cast<u32>(start + i);
    flags[i] = is_live(*table, row) && row_version(table->rows, row) > since;
  }
}

// Marked rows move up to their rank, so row order stays. All but `keys` may be null.
EMBERLINE_KERNEL emberline_export(const DeviceView* table, i64 start, i64 count, const u32* flags,
                                  const u32* rank, i64* keys, float* values, float* states,
                                  u32* frequency, u32* last_step) {
  const RowsView view = table->rows;
  const i64 dim = view.layout.dim;
  const i64 state_floats = view.layout.state_floats;
  const int shift = tile_shift(dim);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const i64 at = i >> shift;
    const i64 first = i & ((1 << shift) - 1);
    if (flags[at] == 0) continue;
    const u32 row = static_cast<u32>(start + at);
    const i64 to = rank[at];
    if (values != nullptr) {
      visit_row_type(view.layout.row_type,
                     ReadLanes{row_weights(view, row), {first, 1 << shift, dim},
                               values + to * dim});
    }
    const float* from = row_states(view, row);
    for (i64 lane = first; states != nullptr && lane < state_floats; lane += 1 << shift) {
      states[to * state_floats + lane] = from[lane];
    }
    if (first != 0) continue;
    keys[to] = row_key(view, row);
    if (frequency != nullptr) frequency[to] = row_frequency(view, row);
    if (last_step != nullptr) last_step[to] = row_last_step(view, row);
  }
}

}  // namespace emberline
