// Segmented sums in a fixed order: pooling of looked-up rows and summing of duplicate gradients.
//
// One lane's sum runs over the positions of its segment in ascending order, whoever computes it:
// no atomics, so the result does not depend on the number of threads.
#pragma once

#include "platform.cuh"

namespace emberline {

enum class Combiner : int { sum = 0, mean = 1, sqrtn = 2 };

// What a segment's sum is divided by: 1, the weights' sum, or the root of their squares' sum.
// `weights` may be null (all 1). Zero stays zero; `pool_divide` gives zeros then.
EMBERLINE_HD float pool_divisor(Combiner combiner, const float* weights, i64 begin, i64 end) {
  if (combiner == Combiner::sum) return 1.0f;
  float total = 0.0f;
  if (weights == nullptr) {
    total = static_cast<float>(end - begin);
  } else {
    for (i64 i = begin; i < end; ++i) {
      total += combiner == Combiner::mean ? weights[i] : weights[i] * weights[i];
    }
  }
  return combiner == Combiner::mean ? total : sqrtf(total);
}

EMBERLINE_HD float pool_divide(float sum, float divisor) {
  return divisor == 0.0f ? 0.0f : sum / divisor;
}

// A batch of gradients: that of position i is gradients[source[i]] * scale[i].
struct GradientView {
  const float* gradients;
  i64 count;          // rows of `gradients`
  i64 stride_floats;  // between rows
  const i64* source;  // null: i
  const float* scale;  // null: 1
};

EMBERLINE_HD const float* gradient_row(const GradientView& view, i64 position) {
  const i64 row = view.source == nullptr ? position : view.source[position];
  return view.gradients + row * view.stride_floats;
}

EMBERLINE_HD float gradient_scale(const GradientView& view, i64 position) {
  return view.scale == nullptr ? 1.0f : view.scale[position];
}

// The lane's gradient summed over `positions[0 .. count)`, in that order.
EMBERLINE_HD float segment_gradient(const GradientView& view, const u32* positions, i64 count,
                                    i64 lane) {
  float sum = gradient_row(view, positions[0])[lane] * gradient_scale(view, positions[0]);
  for (i64 i = 1; i < count; ++i) {
    sum += gradient_row(view, positions[i])[lane] * gradient_scale(view, positions[i]);
  }
  return sum;
}

}  // namespace emberline
