// From rows to vectors: gather, lookup and pooling. A row's lanes go to adjacent threads.
#pragma once

#include "lanes.cuh"
#include "segments.cuh"
#include "view.cuh"

namespace emberline {

// `missing` is what row -1 gives, `dim` floats; null: zeros.
EMBERLINE_KERNEL emberline_gather(const DeviceView* table, const i64* rows, i64 count,
                                  const float* missing, float* out, i64 out_stride) {
  const RowsView view = table->rows;
  const i64 dim = view.layout.dim;
  const int shift = tile_shift(dim);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const i64 row = rows[i >> shift];
    const TileLanes lanes{i & ((1 << shift) - 1), 1 << shift, dim};
    float* to = out + (i >> shift) * out_stride;
    if (row >= 0) {
      visit_row_type(view.layout.row_type,
                     ReadLanes{row_weights(view, static_cast<u32>(row)), lanes, to});
      continue;
    }
    for (i64 lane = lanes.first; lane < dim; lane += lanes.width) {
      to[lane] = missing == nullptr ? 0.0f : missing[lane];
    }
  }
}

// What an absent key (row -1) would start with.
EMBERLINE_KERNEL emberline_initial(const DeviceView* table, const i64* keys, const i64* rows,
                                   i64 count, float* out, i64 out_stride) {
  const i64 dim = table->rows.layout.dim;
  const RowType type = table->rows.layout.row_type;
  const i64 pairs = (dim + 1) / 2;
  const int shift = tile_shift(pairs);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const i64 at = i >> shift;
    if (rows[at] >= 0) continue;
    const u64 stream = initializer_stream(table->seed, keys[at]);
    for (i64 pair = i & ((1 << shift) - 1); pair < pairs; pair += 1 << shift) {
      float* to = out + at * out_stride;
      initialize_pair(table->initializer, stream, pair, dim, to);
      if (type == RowType::float32) continue;
      to[2 * pair] = rounded_weight(type, to[2 * pair]);
      if (2 * pair + 1 < dim) to[2 * pair + 1] = rounded_weight(type, to[2 * pair + 1]);
    }
  }
}

// One lane of one segment, in order of position.
template <RowType type>
EMBERLINE_DEVICE float pool_lane(const RowsView& view, const i64* rows, const float* weights,
                                 const float* missing, i64 begin, i64 end, i64 lane) {
  float sum = 0.0f;
  for (i64 i = begin; i < end; ++i) {
    if (rows[i] < 0 && missing == nullptr) continue;
    const float weight = weights == nullptr ? 1.0f : weights[i];
    sum += (rows[i] < 0 ? missing[lane]
                        : read_weight<type>(row_weights(view, static_cast<u32>(rows[i])), lane)) *
           weight;
  }
  return sum;
}

struct PoolLanes {
  const RowsView& view;
  const i64* rows;
  const float* weights;
  const float* missing;
  i64 begin;
  i64 end;
  TileLanes lanes;
  Combiner how;
  float divisor;
  float* to;

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    for (i64 lane = lanes.first; lane < lanes.dim; lane += lanes.width) {
      const float sum = pool_lane<type>(view, rows, weights, missing, begin, end, lane);
      to[lane] = how == Combiner::sum ? sum : pool_divide(sum, divisor);
    }
  }
};

EMBERLINE_KERNEL emberline_pool(const DeviceView* table, const i64* rows, const i64* offsets,
                                i64 segments, i64 combiner, i64 max_length,
                                const float* weights, const float* missing, float* out,
                                i64 out_stride) {
  const RowsView view = table->rows;
  const i64 dim = view.layout.dim;
  const int shift = tile_shift(dim);
  const Combiner how = static_cast<Combiner>(combiner);
  for (i64 i = thread_number(); i < segments << shift; i += thread_count()) {
    const i64 segment = i >> shift;
    const i64 begin = offsets[segment];
    const i64 length = offsets[segment + 1] - begin;
    const i64 end = begin + (length < max_length ? length : max_length);
    const float divisor = pool_divisor(how, weights, begin, end);
    visit_row_type(view.layout.row_type,
                   PoolLanes{view, rows, weights, missing, begin, end,
                             {i & ((1 << shift) - 1), 1 << shift, dim}, how, divisor,
                             out + segment * out_stride});
  }
}

}  // namespace emberline
