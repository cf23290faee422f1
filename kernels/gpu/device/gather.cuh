// From rows to vectors: gather, lookup and pooling. A row's lanes go to adjacent threads.
#pragma once

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
    const float* from = row < 0 ? missing : row_weights(view, static_cast<u32>(row));
    float* to = out + (i >> shift) * out_stride;
    for (i64 lane = i & ((1 << shift) - 1); lane < dim; lane += 1 << shift) {
      to[lane] = from == nullptr ? 0.0f : from[lane];
    }
  }
}

// What an absent key (row -1) would start with.
EMBERLINE_KERNEL emberline_initial(const DeviceView* table, const i64* keys, const i64* rows,
                                   i64 count, float* out, i64 out_stride) {
  const i64 dim = table->rows.layout.dim;
  const i64 pairs = (dim + 1) / 2;
  const int shift = tile_shift(pairs);
  for (i64 i = thread_number(); i < count << shift; i += thread_count()) {
    const i64 at = i >> shift;
    if (rows[at] >= 0) continue;
    const u64 stream = initializer_stream(table->seed, keys[at]);
    for (i64 pair = i & ((1 << shift) - 1); pair < pairs; pair += 1 << shift) {
      initialize_pair(table->initializer, stream, pair, dim, out + at * out_stride);
    }
  }
}

// One lane of one segment, in order of position.
EMBERLINE_DEVICE float pool_lane(const RowsView& view, const i64* rows, const float* weights,
                                 const float* missing, i64 begin, i64 end, i64 lane) {
  float sum = 0.0f;
  for (i64 i = begin; i < end; ++i) {
    if (rows[i] < 0 && missing == nullptr) continue;
    const float weight = weights == nullptr ? 1.0f : weights[i];
    const float* from = rows[i] < 0 ? missing : row_weights(view, static_cast<u32>(rows[i]));
    sum += from[lane] * weight;
  }
  return sum;
}

EMBERLINE_KERNEL emberline_pool(const DeviceView* table, const i64* rows, const i64* offsets,
                                i64 segments, i64 combiner, const float* weights,
                                const float* missing, float* out, i64 out_stride) {
  const RowsView view = table->rows;
  const i64 dim = view.layout.dim;
  const int shift = tile_shift(dim);
  const Combiner how = static_cast<Combiner>(combiner);
  for (i64 i = thread_number(); i < segments << shift; i += thread_count()) {
    const i64 segment = i >> shift;
    const i64 begin = offsets[segment];
    const i64 end = offsets[segment + 1];
    const float divisor = pool_divisor(how, weights, begin, end);
    float* to = out + segment * out_stride;
    for (i64 lane = i & ((1 << shift) - 1); lane < dim; lane += 1 << shift) {
      const float sum = pool_lane(view, rows, weights, missing, begin, end, lane);
      to[lane] = how == Combiner::sum ? sum : pool_divide(sum, divisor);
    }
  }
}

}  // namespace emberline
