// From rows to vectors: gather, lookup and pooling.
#include <algorithm>
#include <cstring>

#include "table.hpp"

namespace emberline {

namespace {
constexpr i64 kAhead = 16;

// A constant size lets the compiler use vector moves in place of a call.
inline void copy_row(float* to, const float* from, i64 dim) {
  switch (dim) {
    case 8: std::memcpy(to, from, 8 * 4); break;
    case 16: std::memcpy(to, from, 16 * 4); break;
    case 32: std::memcpy(to, from, 32 * 4); break;
    case 64: std::memcpy(to, from, 64 * 4); break;
    default: std::memcpy(to, from, static_cast<std::size_t>(dim) * 4);
  }
}
}  // namespace

// Every row is -1 or that of a live key, or nothing is done at all.
void Table::check_rows(const i64* rows, i64 count) const {
  for (i64 i = 0; i < count; ++i) {
    const i64 row = rows[i];
    if (row == -1) continue;
    if (row < -1 || row >= row_limit_) {
      throw RowIndexError("rows[" + std::to_string(i) + "] is " + std::to_string(row) +
                          ", but table '" + config_.name + "' has rows 0 to " +
                          std::to_string(row_limit_ - 1) +
                          " (-1: no row); use the rows that find or find_or_insert returned");
    }
    if (!is_live(static_cast<u64>(row))) {
      throw RowIndexError("rows[" + std::to_string(i) + "] is " + std::to_string(row) +
                          ", a row of table '" + config_.name +
                          "' whose key was erased; look the key up again");
    }
  }
}

void Table::gather_unlocked(const i64* rows, i64 count, MatrixView out) const {
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 prefetched = std::min<i64>(dim, 128);
  for (i64 i = 0; i < count; ++i) {
    if (i + kAhead < count && rows[i + kAhead] >= 0) {
      row_prefetch(view, static_cast<u32>(rows[i + kAhead]), prefetched);
    }
    float* to = out.data + i * out.stride;
    if (rows[i] < 0) {
      std::fill(to, to + dim, 0.0f);
    } else {
      copy_row(to, row_weights(view, static_cast<u32>(rows[i])), dim);
    }
  }
}

void Table::gather(const i64* rows, i64 count, MatrixView out) const {
  Lock lock(mutex_);
  check_rows(rows, count);
  gather_unlocked(rows, count, out);
}

void Table::lookup(const i64* keys, i64 count, bool initial, MatrixView out) const {
  Lock lock(mutex_);
  rows_scratch_.resize(static_cast<std::size_t>(count));
  i64* rows = rows_scratch_.data();
  find_unlocked(keys, count, rows);
  gather_unlocked(rows, count, out);
  if (!initial) return;
  for (i64 i = 0; i < count; ++i) {
    if (rows[i] < 0) initialize_weights(keys[i], out.data + i * out.stride);
  }
}

void Table::gather_pooled(const i64* rows, i64 count, const i64* offsets, i64 segments,
                          Combiner combiner, const float* weights, MatrixView out) const {
  Lock lock(mutex_);
  check_rows(rows, count);
  for (i64 s = 0; s <= segments; ++s) {
    const i64 least = s == 0 ? 0 : offsets[s - 1];
    const i64 most = s == 0 ? 0 : count;
    const bool complete = s < segments || offsets[s] == count;
    if (offsets[s] >= least && offsets[s] <= most && complete) continue;
    throw SegmentError("offsets[" + std::to_string(s) + "] is " + std::to_string(offsets[s]) +
                       "; offsets must start at 0, never fall and end at len(rows) = " +
                       std::to_string(count));
  }
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  for (i64 s = 0; s < segments; ++s) {
    float* to = out.data + s * out.stride;
    std::fill(to, to + dim, 0.0f);
    for (i64 i = offsets[s]; i < offsets[s + 1]; ++i) {
      if (i + kAhead < count && rows[i + kAhead] >= 0) {
        row_prefetch(view, static_cast<u32>(rows[i + kAhead]), std::min<i64>(dim, 128));
      }
      if (rows[i] < 0) continue;
      const float* from = row_weights(view, static_cast<u32>(rows[i]));
      const float weight = weights == nullptr ? 1.0f : weights[i];
      for (i64 lane = 0; lane < dim; ++lane) to[lane] += from[lane] * weight;
    }
    if (combiner == Combiner::sum) continue;
    const float divisor = pool_divisor(combiner, weights, offsets[s], offsets[s + 1]);
    for (i64 lane = 0; lane < dim; ++lane) to[lane] = pool_divide(to[lane], divisor);
  }
}

}  // namespace emberline
