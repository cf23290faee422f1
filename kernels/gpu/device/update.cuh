// From sorted words to updated rows: segments, summed in order of position, and the optimizer.
#pragma once

#include "segments.cuh"
#include "view.cuh"

namespace emberline {

// flags[i]: word i is the first of its row. Also counts the words before those of ignored rows.
EMBERLINE_KERNEL emberline_segment_heads(const u64* words, i64 count, i64 row_limit, u32* flags,
                                         u64* counters) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    const i64 row = static_cast<i64>(words[i] >> 32);
    const bool valid = row < row_limit;
    flags[i] = valid && (i == 0 || static_cast<i64>(words[i - 1] >> 32) != row);
    const bool ends = i + 1 == count || static_cast<i64>(words[i + 1] >> 32) >= row_limit;
    if (valid && ends) counters[kValid] = static_cast<u64>(i + 1);  // one thread at most
  }
}

EMBERLINE_KERNEL emberline_segments(const u64* words, i64 count, const u32* flags,
                                    const u32* rank, u32* starts, u32* positions) {
  for (i64 i = thread_number(); i < count; i += thread_count()) {
    if (flags[i] != 0) starts[rank[i]] = static_cast<u32>(i);
    positions[i] = static_cast<u32>(words[i]);
  }
}

EMBERLINE_DEVICE u32 saturating_add(u32 a, u64 b) {
  return b > 0xFFFFFFFFull - a ? 0xFFFFFFFFu : a + static_cast<u32>(b);
}

// One lane of a row. The kind is switched by lane and not by row: the segment's sum, which is
// most of the code, is there once and not once for each kind.
struct LaneUpdate {
  const OptimizerConfig& config;
  const RowUpdate& update;
  i64 dim;
  float gradient;
  float* weight;
  float* state;

  template <OptimizerKind kind>
  EMBERLINE_DEVICE void operator()() const {
    optimizer_lane<kind>(config, update, dim, gradient, weight, state);
  }
};

// The weight that a LaneUpdate works on goes from the row to a register and back.
struct LoadWeight {
  const float* row;
  i64 lane;
  float& weight;

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    weight = read_weight<type>(row, lane);
  }
};

struct StoreWeight {
  float* row;
  i64 lane;
  float weight;
  u64 stream;  // of the rounding

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    write_weight<type>(row, lane, weight, lane_rounding(stream, lane));
  }
};

// The square sum of a tile's row, in every thread, in the order of square_sum.cuh: a tile
// narrower than a warp has a row without lanes beyond it, whose partial sums are zeros there. The
// whole warp calls it; `count` is 0 in a tile without a row.
EMBERLINE_DEVICE float tile_square_sum(const GradientView& gradients, const u32* positions,
                                       i64 count, i64 dim, i64 first, i64 width) {
  float sum = 0.0f;
  for (i64 lane = first; count > 0 && lane < dim; lane += width) {
    const float gradient = segment_gradient(gradients, positions, count, lane);
    sum += gradient * gradient;
  }
  for (i64 offset = width / 2; offset > 0; offset /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, static_cast<int>(offset));
  }
  return sum;
}

// One row a tile. Counters are on the device: the host need not wait for the segments' number.
EMBERLINE_KERNEL emberline_update(const DeviceView* table, const u64* words, const u32* starts,
                                  const u32* positions, const u64* counters,
                                  const float* gradients, i64 gradient_rows, i64 gradient_stride,
                                  const i64* source, const float* scale, float learning_rate,
                                  i64 step, i64 version) {
  const RowsView rows = table->rows;
  const GradientView view{gradients, gradient_rows, gradient_stride, source, scale};
  OptimizerConfig optimizer = table->optimizer;
  optimizer.learning_rate = learning_rate;
  const i64 segments = static_cast<i64>(counters[kTotal]);
  const i64 valid = static_cast<i64>(counters[kValid]);
  const i64 dim = rows.layout.dim;
  const RowType type = rows.layout.row_type;
  const int shift = tile_shift(dim);
  const i64 width = i64{1} << shift;
  // Whole warps go round together, as they exchange sums.
  for (i64 i = thread_number(); (i & -kWarp) < segments << shift; i += thread_count()) {
    const i64 segment = i >> shift;
    const i64 first = i & (width - 1);
    const bool has_row = segment < segments;
    const i64 begin = has_row ? static_cast<i64>(starts[segment]) : 0;
    const i64 end = !has_row                 ? 0
                    : segment + 1 < segments ? static_cast<i64>(starts[segment + 1])
                                             : valid;
    const u32* where = positions + begin;
    const float squares = needs_square_sum(optimizer)
                              ? tile_square_sum(view, where, end - begin, dim, first, width)
                              : 0.0f;
    const u32 row = has_row ? static_cast<u32>(words[begin] >> 32) : 0;
    float* weights = has_row ? row_weights(rows, row) : nullptr;
    float* states = weights + rows.layout.weight_floats;
    RowUpdate update{};
    u64 stream = 0;
    if (has_row) {
      update = row_update(optimizer, dim, squares, states);
      if (type != RowType::float32) {
        stream = rounding_stream(table->seed, row_key(rows, row), static_cast<u32>(step),
                                 row_frequency(rows, row));
      }
    }
    __syncwarp();  // the tile has read the row's scalar state and frequency
    if (!has_row) continue;
    for (i64 lane = first; lane < dim; lane += width) {
      const float gradient = segment_gradient(view, where, end - begin, lane);
      float weight = 0.0f;
      visit_row_type(type, LoadWeight{weights, lane, weight});
      visit_kind(optimizer.kind,
                 LaneUpdate{optimizer, update, dim, gradient, &weight, states + lane});
      visit_row_type(type, StoreWeight{weights, lane, weight, stream});
    }
    if (first != 0) continue;
    finish_row(optimizer, update, dim, states);
    u32& frequency = row_frequency(rows, row);
    frequency = saturating_add(frequency, static_cast<u64>(end - begin));
    row_last_step(rows, row) = static_cast<u32>(step);
    row_version(rows, row) = static_cast<u32>(version);
  }
}

}  // namespace emberline
