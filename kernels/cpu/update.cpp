// From gradients to updated rows: stable sort by row, segmented sum, fused optimizer.
#include <algorithm>
#include <utility>

#include "table.hpp"

namespace emberline {

namespace {

constexpr i64 kAhead = 12;
constexpr int kDigitBits = 11;

// Buckets that are sorted and updated apart. Which of them a row is in does not change over its
// neighbours, so that no two threads write to one line of metadata.
constexpr int kBucketBits = 6;
constexpr i64 kBuckets = i64{1} << kBucketBits;
constexpr int kNeighbourBits = 4;  // 16 rows: a 64-byte line of 4-byte metadata
i64 bucket_of(i64 row) { return row >> kNeighbourBits & (kBuckets - 1); }

u64 word_of(i64 row, i64 position) {
  return static_cast<u64>(row) << 32 | static_cast<u64>(position);
}

// Sort words by row, positions ascending within a row. The words are in
// position order at first and each pass is stable, so only the row's bits need passes: as few as
// 11-bit digits allow, and no wider than that takes. The result is in `words`.
void sort_by_row(u64* words, u64* other, i64 count, i64 row_limit) {
  if (count < 64) {
    std::sort(words, words + count);
    return;
  }
  int bits = 1;
  while ((row_limit - 1) >> bits != 0) ++bits;
  const int passes = (bits + kDigitBits - 1) / kDigitBits;
  const int digit_bits = (bits + passes - 1) / passes;
  const u64 mask = (u64{1} << digit_bits) - 1;
  u64* from = words;
  u64* to = other;
  for (int shift = 32; shift < 32 + bits; shift += digit_bits) {
    u32 starts[(1 << kDigitBits) + 1];
    std::fill(starts, starts + mask + 2, 0);
    for (i64 i = 0; i < count; ++i) ++starts[(from[i] >> shift & mask) + 1];
    for (u64 digit = 0; digit <= mask; ++digit) starts[digit + 1] += starts[digit];
    for (i64 i = 0; i < count; ++i) to[starts[from[i] >> shift & mask]++] = from[i];
    std::swap(from, to);
  }
  if (from != words) std::copy(from, from + count, words);
}

u32 saturating_add(u32 a, u64 b) {
  return b > 0xFFFFFFFFull - a ? 0xFFFFFFFFu : a + static_cast<u32>(b);
}

void check_source(const GradientView& gradients, i64 count) {
  for (i64 i = 0; i < count; ++i) {
    if (gradients.source[i] >= 0 && gradients.source[i] < gradients.count) continue;
    throw RowIndexError("source[" + std::to_string(i) + "] is " +
                        std::to_string(gradients.source[i]) + ", but gradients has rows 0 to " +
                        std::to_string(gradients.count - 1));
  }
}

}  // namespace

// Write updated weights, rounded at random, so that steps too small for a half count in the mean.
void Table::round_halves(u32 row, u32 step, const float* weights) {
  const RowsView rows = this->rows();
  const u64 stream =
      rounding_stream(config_.seed, row_key(rows, row), step, row_frequency(rows, row));
  halves_.write_stochastic(weights, config_.dim, stream, row_halves(rows, row));
}

// Update the rows of sorted words, each once.
void Table::update_sorted(const u64* words, const u32* positions, i64 count,
                          const GradientView& gradients, u32 step,
                          const OptimizerConfig& optimizer, float* sum) {
  const RowsView view = this->rows();
  const i64 row_floats = std::min<i64>(layout_.weight_floats + layout_.state_floats, 256);
  const i64 dim = config_.dim;
  const bool halves = halves_.read != nullptr;
  for (i64 begin = 0, end = 0, ahead = 0; begin < count; begin = end) {
    for (; ahead < count && ahead < begin + kAhead; ++ahead) {
      const u32 next = static_cast<u32>(words[ahead] >> 32);
      row_prefetch(view, next, row_floats);
      prefetch(&row_frequency(view, next));
      prefetch(&row_last_step(view, next));
      prefetch(&row_version(view, next));
      if (halves) prefetch(&row_key(view, next));  // for the rounding
      const float* gradient = gradient_row(gradients, positions[ahead]);
      for (i64 at = 0; at < std::min<i64>(dim, 128); at += 16) prefetch(gradient + at);
      prefetch(gradient + dim - 1);  // a gradient may begin inside a line, as NumPy's arrays do
    }
    const u32 row = static_cast<u32>(words[begin] >> 32);
    while (end < count && words[end] >> 32 == row) ++end;
    // Halves are updated as float32, in work space behind the sum.
    float* weights = halves ? sum + dim : row_weights(view, row);
    if (halves) halves_.read(row_halves(view, row), dim, weights);
    update_row_(optimizer, dim, {&gradients, positions + begin, end - begin, sum}, weights,
                row_states(view, row));
    if (halves) round_halves(row, step, weights);
    u32& frequency = row_frequency(view, row);
    frequency = saturating_add(frequency, static_cast<u64>(end - begin));
    row_last_step(view, row) = step;
    row_version(view, row) = version_;
  }
}

void Table::apply_gradients(const i64* rows, i64 count, const GradientView& gradients, u32 step,
                            float learning_rate) {
  Lock lock(mutex_);
  check_rows(rows, count);
  if (gradients.source != nullptr) check_source(gradients, count);
  apply_unlocked(rows, count, gradients, step, learning_rate);
}

// Sorted by row, then updated row after row, so a row's gradients are summed in the order of
// positions. For many threads the rows are dealt into buckets first, in the order of positions, and
// each bucket is one thread's; alone, dealing would be a pass of the sort for nothing.
void Table::apply_unlocked(const i64* rows, i64 count, const GradientView& gradients, u32 step,
                           float learning_rate) {
  OptimizerConfig optimizer = config_.optimizer;
  optimizer.learning_rate = learning_rate;
  const i64 parts = threads_.parts(count);
  u64* words = order_scratch_[0].ensure(count);
  u64* other = order_scratch_[1].ensure(count);
  u32* positions = positions_scratch_.ensure(count);
  const i64 sum_floats = (halves_.read == nullptr ? 1 : 2) * config_.dim;
  float* sums = sum_scratch_.ensure(sum_floats * threads_.count());
  const auto update = [&](i64 begin, i64 end, int worker) {
    sort_by_row(words + begin, other + begin, end - begin, row_limit_);
    for (i64 i = begin; i < end; ++i) positions[i] = static_cast<u32>(words[i]);
    update_sorted(words + begin, positions + begin, end - begin, gradients, step, optimizer,
                  sums + worker * sum_floats);
  };
  i64 used = 0;
  if (parts == 1) {
    for (i64 i = 0; i < count; ++i) {
      words[used] = word_of(rows[i], i);
      used += rows[i] >= 0;
    }
    update(0, used, 0);
  } else {
    i64 bucket_begin[kBuckets + 1];
    deal(rows, count, words, bucket_begin);
    used = bucket_begin[kBuckets];
    threads_.run(kBuckets, [&](i64 bucket, int worker) {
      update(bucket_begin[bucket], bucket_begin[bucket + 1], worker);
    });
  }
  if (used > 0) newest_step_ = std::max(newest_step_, step);
  for (Scratch<u64>& scratch : order_scratch_) scratch.trim(kKeptScratchBytes);
  positions_scratch_.trim(kKeptScratchBytes);
}

// Write the words of a batch bucket after bucket, positions ascending within each.
void Table::deal(const i64* rows, i64 count, u64* words, i64* bucket_begin) {
  const i64 parts = threads_.parts(count);
  part_counts_.assign(static_cast<std::size_t>(parts * kBuckets), 0);
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    i64* counts = part_counts_.data() + part * kBuckets;
    for (i64 i = begin; i < end; ++i) counts[bucket_of(rows[i])] += rows[i] >= 0;
  });
  i64 dealt = 0;
  for (i64 bucket = 0; bucket < kBuckets; ++bucket) {
    bucket_begin[bucket] = dealt;
    for (i64 part = 0; part < parts; ++part) {
      dealt += std::exchange(part_counts_[static_cast<std::size_t>(part * kBuckets + bucket)],
                             dealt);
    }
  }
  bucket_begin[kBuckets] = dealt;
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    i64* next = part_counts_.data() + part * kBuckets;
    for (i64 i = begin; i < end; ++i) {
      if (rows[i] >= 0) words[next[bucket_of(rows[i])]++] = word_of(rows[i], i);
    }
  });
}

}  // namespace emberline
