// From rows to vectors: gather, lookup and pooling.
#include <algorithm>

#include "row_reader.hpp"
#include "table.hpp"

namespace emberline {

namespace {
constexpr i64 kAhead = 16;
constexpr i64 kGroup = 32;

// Ask for the first `floats` of an output row, to be written: else each store waits for its line.
inline void prefetch_output(const float* to, i64 floats) {
  for (i64 at = 0; at < floats; at += 16) __builtin_prefetch(to + at, 1);
}

}  // namespace

void check_offsets(const i64* offsets, i64 segments, i64 count) {
  for (i64 s = 0; s <= segments; ++s) {
    const i64 least = s == 0 ? 0 : offsets[s - 1];
    const i64 most = s == 0 ? 0 : count;
    const bool complete = s < segments || offsets[s] == count;
    if (offsets[s] >= least && offsets[s] <= most && complete) continue;
    throw SegmentError("offsets[" + std::to_string(s) + "] is " + std::to_string(offsets[s]) +
                       "; offsets must start at 0, never fall and end at len(rows) = " +
                       std::to_string(count));
  }
}

// Every row is -1 or that of a live key, or nothing is done at all; the first bad one is named.
void Table::check_rows(const i64* rows, i64 count) const {
  const auto is_row = [&](i64 row) {
    return row == -1 || (row >= 0 && row < row_limit_ && is_live(static_cast<u64>(row)));
  };
  part_counts_.assign(static_cast<std::size_t>(threads_.parts(count)), count);
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    const i64* bad = std::find_if_not(rows + begin, rows + end, is_row);
    if (bad != rows + end) part_counts_[static_cast<std::size_t>(part)] = bad - rows;
  });
  const i64 i = *std::min_element(part_counts_.begin(), part_counts_.end());
  if (i == count) return;
  const i64 row = rows[i];
  if (row < -1 || row >= row_limit_) {
    throw RowIndexError("rows[" + std::to_string(i) + "] is " + std::to_string(row) +
                        ", but table '" + config_.name + "' has rows 0 to " +
                        std::to_string(row_limit_ - 1) +
                        " (-1: no row); use the rows that find or find_or_insert returned");
  }
  throw RowIndexError("rows[" + std::to_string(i) + "] is " + std::to_string(row) +
                      ", a row of table '" + config_.name +
                      "' whose key was erased; look the key up again");
}

template <class Reader>
void Table::gather_range(const Reader& reader, const i64* rows, i64 count, const float* missing,
                         MatrixView out) const {
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 prefetched = std::min<i64>(layout_.weight_floats, 128);
  for (i64 i = 0; i < count; ++i) {
    if (i + kAhead < count && rows[i + kAhead] >= 0) {
      row_prefetch(view, static_cast<u32>(rows[i + kAhead]), prefetched);
    }
    float* to = out.data + i * out.stride;
    if (rows[i] < 0 && missing == nullptr) {
      std::fill(to, to + dim, 0.0f);
    } else if (rows[i] < 0) {
      copy_row(to, missing, dim);
    } else {
      reader.copy(row_weights(view, static_cast<u32>(rows[i])), dim, to);
    }
  }
}

// Ask for the rows that gather_range and pool_range begin with.
void Table::prefetch_rows(const i64* rows, i64 count) const {
  const RowsView view = this->rows();
  const i64 prefetched = std::min<i64>(layout_.weight_floats, 128);
  for (i64 i = 0; i < std::min(kAhead, count); ++i) {
    if (rows[i] >= 0) row_prefetch(view, static_cast<u32>(rows[i]), prefetched);
  }
}

void Table::gather(const i64* rows, i64 count, const float* missing, MatrixView out) const {
  Lock lock(mutex_);
  check_rows(rows, count);
  with_reader(layout_.row_type, halves_, [&](const auto& reader) {
    threads_.run_ranges(count, [&](i64 begin, i64 end, i64) {
      gather_range(reader, rows + begin, end - begin, missing,
                   {out.data + begin * out.stride, out.stride});
    });
  });
}

// Three stages a group apart: ask for the chunks; find the rows and ask for them; copy. So each
// group's cache misses overlap with the work on the groups before it.
template <class Reader>
void Table::lookup_range(const Reader& reader, const i64* keys, i64 count, bool initial,
                         MatrixView out) const {
  const IndexView index = this->index();
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 prefetched = std::min<i64>(layout_.weight_floats, 128);
  u64 hashes[2][kGroup];
  u32 found[2][kGroup];
  const i64 groups = (count + kGroup - 1) / kGroup;
  for (i64 group = 0; group < groups + 2; ++group) {
    if (group < groups) {
      const i64 begin = group * kGroup;
      const i64 size = std::min(kGroup, count - begin);
      for (i64 i = 0; i < size; ++i) {
        hashes[group & 1][i] = hash(keys[begin + i]);
        index_prefetch(index, hashes[group & 1][i]);
      }
    }
    if (group >= 2) {
      const i64 begin = (group - 2) * kGroup;
      const i64 size = std::min(kGroup, count - begin);
      for (i64 i = 0; i < size; ++i) {
        float* to = out.data + (begin + i) * out.stride;
        const u32 row = found[group & 1][i];
        if (row != kNoRow) {
          reader.copy(row_weights(view, row), dim, to);
        } else if (initial) {
          initialize_weights(keys[begin + i], to);
        } else {
          std::fill(to, to + dim, 0.0f);
        }
      }
    }
    if (group >= 1 && group <= groups) {
      const i64 begin = (group - 1) * kGroup;
      const i64 size = std::min(kGroup, count - begin);
      for (i64 i = 0; i < size; ++i) {
        const u32 row = index_find(index, keys[begin + i], hashes[(group - 1) & 1][i]);
        if (row != kNoRow) row_prefetch(view, row, prefetched);
        prefetch_output(out.data + (begin + i) * out.stride, prefetched);
        found[(group - 1) & 1][i] = row;
      }
    }
  }
}

void Table::lookup(const i64* keys, i64 count, bool initial, MatrixView out) const {
  Lock lock(mutex_);
  with_reader(layout_.row_type, halves_, [&](const auto& reader) {
    threads_.run_ranges(count, [&](i64 begin, i64 end, i64) {
      lookup_range(reader, keys + begin, end - begin, initial,
                   {out.data + begin * out.stride, out.stride});
    });
  });
}

template <class Reader>
void Table::pool_range(const Reader& reader, const i64* rows, i64 count, const i64* offsets,
                       i64 segments, Combiner combiner, i64 max_length, const float* weights,
                       const float* missing, MatrixView out) const {
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 prefetched = std::min<i64>(layout_.weight_floats, 128);
  for (i64 s = 0; s < segments; ++s) {
    float* to = out.data + s * out.stride;
    std::fill(to, to + dim, 0.0f);
    const i64 end = offsets[s] + std::min(max_length, offsets[s + 1] - offsets[s]);
    for (i64 i = offsets[s]; i < end; ++i) {
      if (i + kAhead < count && rows[i + kAhead] >= 0) {
        row_prefetch(view, static_cast<u32>(rows[i + kAhead]), prefetched);
      }
      if (rows[i] < 0 && missing == nullptr) continue;
      const float* from = rows[i] < 0 ? missing : row_weights(view, static_cast<u32>(rows[i]));
      const float weight = weights == nullptr ? 1.0f : weights[i];
      if (Reader::kFloats || rows[i] < 0) {
        FloatReader{}.add(from, dim, weight, to);
      } else {
        reader.add(from, dim, weight, to);
      }
    }
    if (combiner == Combiner::sum) continue;
    const float divisor = pool_divisor(combiner, weights, offsets[s], end);
    for (i64 lane = 0; lane < dim; ++lane) to[lane] = pool_divide(to[lane], divisor);
  }
}

void Table::gather_pooled(const i64* rows, i64 count, const i64* offsets, i64 segments,
                          Combiner combiner, i64 max_length, const float* weights,
                          const float* missing, MatrixView out) const {
  Lock lock(mutex_);
  check_rows(rows, count);
  check_offsets(offsets, segments, count);
  // Cut by rows read, not by segments; a part is the segments that begin in its range of rows.
  const i64 items = std::max(count, segments);
  const i64 parts = threads_.parts(items);
  const auto first_segment = [&](i64 part) {
    if (part == 0) return i64{0};
    if (part == parts) return segments;
    return static_cast<i64>(std::lower_bound(offsets, offsets + segments, count * part / parts) -
                            offsets);
  };
  with_reader(layout_.row_type, halves_, [&](const auto& reader) {
    threads_.run(parts, [&](i64 part, int) {
      const i64 begin = first_segment(part);
      pool_range(reader, rows, count, offsets + begin, first_segment(part + 1) - begin, combiner,
                 max_length, weights, missing, {out.data + begin * out.stride, out.stride});
    });
  });
}

void Table::gather_part(const i64* rows, i64 count, const float* missing, MatrixView out) const {
  with_reader(layout_.row_type, halves_,
              [&](const auto& reader) { gather_range(reader, rows, count, missing, out); });
}

void Table::pool_part(const i64* rows, i64 count, const i64* offsets, i64 segments,
                      Combiner combiner, i64 max_length, const float* weights,
                      const float* missing, MatrixView out) const {
  with_reader(layout_.row_type, halves_, [&](const auto& reader) {
    pool_range(reader, rows, count, offsets, segments, combiner, max_length, weights, missing,
               out);
  });
}

}  // namespace emberline
