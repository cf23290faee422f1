// What a group of features adds: a sample's gradient goes to each of its keys.
#pragma once

#include "segments.cuh"
#include "view.cuh"

namespace emberline {

// Each key's gradient as a place in the matrix of all features and a factor, its weight over what
// the sample's vectors were divided by. The place counts floats, so that features at different
// columns are summed together. `offsets` null: one key a sample, without weights; `weights` null:
// all 1; `scale` null: no feature divides or weighs.
EMBERLINE_KERNEL emberline_spread(const i64* offsets, i64 samples, i64 combiner, i64 max_length,
                                  const float* weights, i64 stride, i64 column, i64* source,
                                  float* scale) {
  for (i64 sample = thread_number(); sample < samples; sample += thread_count()) {
    const i64 begin = offsets == nullptr ? sample : offsets[sample];
    const i64 end = offsets == nullptr ? sample + 1 : offsets[sample + 1];
    const i64 kept = end - begin < max_length ? end : begin + max_length;
    const float divisor = offsets == nullptr || begin == end
                              ? 1.0f
                              : pool_divisor(static_cast<Combiner>(combiner), weights, begin, kept);
    for (i64 i = begin; i < end; ++i) {
      source[i] = sample * stride + column;
      if (scale == nullptr) continue;
      scale[i] = weights == nullptr ? 1.0f / divisor : pool_divide(weights[i], divisor);
    }
  }
}

}  // namespace emberline
