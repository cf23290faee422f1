// From gradients to updated rows: stable sort by row, segmented sum, fused optimizer.
#include <algorithm>

#include "table.hpp"

namespace emberline {

namespace {

constexpr i64 kAhead = 12;
constexpr int kDigitBits = 11;

// Sort row << 32 | position words by row, positions ascending within a row. The words are in
// position order at first and each pass is stable, so only the row's bits need passes.
void sort_by_row(std::vector<u64>& words, std::vector<u64>& other, i64 row_limit) {
  if (words.size() < 1024) {
    std::sort(words.begin(), words.end());
    return;
  }
  other.resize(words.size());
  for (int shift = 32; shift < 64 && ((row_limit - 1) >> (shift - 32)) != 0; shift += kDigitBits) {
    std::size_t starts[(1 << kDigitBits) + 1] = {};
    const u64 mask = (u64{1} << kDigitBits) - 1;
    for (const u64 word : words) ++starts[(word >> shift & mask) + 1];
    for (int digit = 0; digit < (1 << kDigitBits); ++digit) starts[digit + 1] += starts[digit];
    for (const u64 word : words) other[starts[word >> shift & mask]++] = word;
    words.swap(other);
  }
}

u32 saturating_add(u32 a, u64 b) {
  return b > 0xFFFFFFFFull - a ? 0xFFFFFFFFu : a + static_cast<u32>(b);
}

}  // namespace

// Sum the gradients at `positions` lane by lane (row after row, so that the compiler vectorizes
// over lanes; the order per lane is that of segment_gradient), then update the row.
void Table::update_row(u32 row, const GradientView& gradients, const u32* positions, i64 count,
                       const OptimizerConfig& optimizer) {
  const i64 dim = config_.dim;
  const float* gradient = gradient_row(gradients, positions[0]);
  if (count > 1 || gradients.scale != nullptr) {
    float* sum = sum_scratch_.data();
    const float first = gradient_scale(gradients, positions[0]);
    for (i64 lane = 0; lane < dim; ++lane) sum[lane] = gradient[lane] * first;
    for (i64 i = 1; i < count; ++i) {
      const float* next = gradient_row(gradients, positions[i]);
      const float scale = gradient_scale(gradients, positions[i]);
      for (i64 lane = 0; lane < dim; ++lane) sum[lane] += next[lane] * scale;
    }
    gradient = sum;
  }
  const RowsView rows = this->rows();
  float* __restrict__ weights = row_weights(rows, row);
  if (optimizer.kind == OptimizerKind::adagrad) {
    float* __restrict__ states = weights + dim;
    for (i64 lane = 0; lane < dim; ++lane) {
      adagrad_lane(optimizer, gradient[lane], weights + lane, states + lane);
    }
  } else {
    for (i64 lane = 0; lane < dim; ++lane) {
      sgd_lane(optimizer.learning_rate, gradient[lane], weights + lane);
    }
  }
}

void Table::apply_gradients(const i64* rows, i64 count, const GradientView& gradients, u32 step,
                            float learning_rate) {
  Lock lock(mutex_);
  check_rows(rows, count);
  if (gradients.source != nullptr) {
    for (i64 i = 0; i < count; ++i) {
      if (gradients.source[i] >= 0 && gradients.source[i] < gradients.count) continue;
      throw RowIndexError("source[" + std::to_string(i) + "] is " +
                          std::to_string(gradients.source[i]) + ", but gradients has rows 0 to " +
                          std::to_string(gradients.count - 1));
    }
  }
  std::vector<u64>& words = order_scratch_[0];
  words.clear();
  words.reserve(static_cast<std::size_t>(count));
  sum_scratch_.resize(static_cast<std::size_t>(config_.dim));
  for (i64 i = 0; i < count; ++i) {
    if (rows[i] >= 0) words.push_back(static_cast<u64>(rows[i]) << 32 | static_cast<u64>(i));
  }
  sort_by_row(words, order_scratch_[1], row_limit_);
  std::vector<u32>& positions = positions_scratch_;
  positions.resize(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) positions[i] = static_cast<u32>(words[i]);

  OptimizerConfig optimizer = config_.optimizer;
  optimizer.learning_rate = learning_rate;
  const RowsView view = this->rows();
  const i64 row_floats = std::min<i64>(config_.dim + layout_.state_floats, 256);
  const i64 sorted = static_cast<i64>(words.size());
  for (i64 begin = 0, end = 0, ahead = 0; begin < sorted; begin = end) {
    for (; ahead < sorted && ahead < begin + kAhead; ++ahead) {
      const u32 next = static_cast<u32>(words[static_cast<std::size_t>(ahead)] >> 32);
      row_prefetch(view, next, row_floats);
      prefetch(&row_frequency(view, next));
      prefetch(&row_last_step(view, next));
      prefetch(&row_version(view, next));
      const float* gradient = gradient_row(gradients, positions[static_cast<std::size_t>(ahead)]);
      for (i64 at = 0; at < std::min<i64>(config_.dim, 128); at += 16) prefetch(gradient + at);
    }
    const u32 row = static_cast<u32>(words[static_cast<std::size_t>(begin)] >> 32);
    while (end < sorted && words[static_cast<std::size_t>(end)] >> 32 == row) ++end;
    update_row(row, gradients, positions.data() + begin, end - begin, optimizer);
    u32& frequency = row_frequency(view, row);
    frequency = saturating_add(frequency, static_cast<u64>(end - begin));
    row_last_step(view, row) = step;
    row_version(view, row) = version_;
  }
}

}  // namespace emberline
