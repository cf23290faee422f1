// Whole rows in and out: assign, import, export, and the list of keys.
#include <algorithm>
#include <functional>
#include <utility>

#include "table.hpp"

namespace emberline {

namespace {
constexpr u32 kOwnedRows = 64;  // whole lines of metadata, and few breaks in a run of new rows

// Copy `count` values; a call for a single one would take longer than the rest of a short row.
template <class T>
void copy_run(const T* from, i64 count, T* to) {
  if (count == 1) {
    *to = *from;
  } else {
    std::copy_n(from, count, to);
  }
}
}  // namespace

// Call write(position, row, count) for runs of positions whose rows follow each other in one slab.
// A row is written in the order of positions, by one thread: the last of equal keys wins, and sums
// do not depend on the threads. Ascending rows are dealt by position, others by their owners.
template <class Write>
void Table::write_rows(const i64* rows, i64 count, const Write& write) {
  const RowsView view = this->rows();
  const bool ascending =
      std::adjacent_find(rows, rows + count, std::greater_equal<i64>()) == rows + count;
  if (ascending) {  // so no row comes twice
    const i64 slab_rows = i64{1} << layout_.slab_shift;
    threads_.run_ranges(count, [&](i64 begin, i64 end, i64) {
      while (begin < end) {
        const i64 row = rows[begin];
        const i64 most = std::min(end - begin, slab_rows - row % slab_rows);
        i64 run = 1;
        while (run < most && rows[begin + run] == row + run) ++run;
        write(begin, static_cast<u32>(row), run);
        std::fill_n(&row_version(view, static_cast<u32>(row)), run, version_);
        begin += run;
      }
    });
    return;
  }
  // Every owner reads all row numbers, so there is one for each thread and no more.
  const i64 owners = std::min<i64>(threads_.parts(count), threads_.count());
  threads_.run(owners, [&](i64 owner, int) {
    for (i64 i = 0; i < count; ++i) {
      const u32 row = static_cast<u32>(rows[i]);
      if (row / kOwnedRows % static_cast<u32>(owners) != static_cast<u32>(owner)) continue;
      write(i, row, 1);
      row_version(view, row) = version_;
    }
  });
}

void Table::upsert(const RangeInput& input) {
  Lock lock(mutex_);
  i64* rows = rows_scratch_.ensure(input.count);
  find_or_insert_unlocked(input.keys, input.count, rows, NewWeights::unset, false);
  u32 newest = newest_step_;
  for (i64 i = 0; input.last_step != nullptr && i < input.count; ++i) {
    newest = std::max(newest, input.last_step[i]);
  }
  newest_step_ = newest;
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 stride = layout_.stride_floats;
  const i64 state_floats = layout_.state_floats;
  const bool whole = halves_.read == nullptr && dim == stride && dim == input.values.stride;
  write_rows(rows, input.count, [&](i64 i, u32 first, i64 run) {
    float* row = row_weights(view, first);
    if (whole) std::copy_n(input.values.data + i * dim, run * dim, row);
    for (i64 k = 0; !whole && k < run; ++k, row += stride) {
      const float* values = input.values.data + (i + k) * input.values.stride;
      if (halves_.read == nullptr) {
        std::copy_n(values, dim, row);
      } else {
        halves_.write_nearest(values, dim, reinterpret_cast<u16*>(row));
      }
      if (input.states == nullptr) continue;
      const float* states = input.states + (i + k) * state_floats;
      std::copy_n(states, state_floats, row + layout_.weight_floats);
    }
    if (input.frequency != nullptr) {
      copy_run(input.frequency + i, run, &row_frequency(view, first));
    }
    if (input.last_step != nullptr) {
      copy_run(input.last_step + i, run, &row_last_step(view, first));
    }
  });
  rows_scratch_.trim(kKeptScratchBytes);
}

void Table::add(const i64* keys, i64 count, ConstMatrixView values, NewWeights start) {
  Lock lock(mutex_);
  i64* rows = rows_scratch_.ensure(count);
  find_or_insert_unlocked(keys, count, rows, start, false);
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const auto add_row = [&](const float* added, float* row) {
    if (halves_.read == nullptr) {
      for (i64 lane = 0; lane < dim; ++lane) row[lane] += added[lane];
      return;
    }
    float weights[kHalfBlock];
    for (i64 start = 0; start < dim; start += kHalfBlock) {
      const i64 lanes = std::min(kHalfBlock, dim - start);
      u16* halves = reinterpret_cast<u16*>(row) + start;
      halves_.read(halves, lanes, weights);
      for (i64 lane = 0; lane < lanes; ++lane) weights[lane] += added[start + lane];
      halves_.write_nearest(weights, lanes, halves);
    }
  };
  write_rows(rows, count, [&](i64 i, u32 first, i64 run) {
    float* row = row_weights(view, first);
    for (i64 k = 0; k < run; ++k) {
      add_row(values.data + (i + k) * values.stride, row + k * layout_.stride_floats);
    }
  });
  rows_scratch_.trim(kKeptScratchBytes);
}

i64 Table::export_keys(i64 start, i64 stop, i64* keys) const {
  Lock lock(mutex_);
  const RowsView view = this->rows();
  return export_runs(start, stop, 0, [&](u32 row, i64 count, i64 at) {
    std::copy_n(&row_key(view, row), count, keys + at);
  });
}

i64 Table::export_rows(i64 start, i64 stop, u32 since, const RangeOutput& out) const {
  Lock lock(mutex_);
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 state_floats = layout_.state_floats;
  return export_runs(start, stop, since, [&](u32 row, i64 count, i64 at) {
    for (i64 i = 0; i < count; ++i) {
      const float* start = row_weights(view, row) + i * layout_.stride_floats;
      float* values = out.values + (at + i) * dim;
      if (halves_.read == nullptr) {
        std::copy_n(start, dim, values);
      } else {
        halves_.read(reinterpret_cast<const u16*>(start), dim, values);
      }
      const float* states = start + layout_.weight_floats;
      std::copy_n(states, state_floats, out.states + (at + i) * state_floats);
    }
    std::copy_n(&row_key(view, row), count, out.keys + at);
    std::copy_n(&row_frequency(view, row), count, out.frequency + at);
    std::copy_n(&row_last_step(view, row), count, out.last_step + at);
  });
}

// Call write(row, count, place) for runs, each within one slab, of the live rows of [start, stop)
// written after version `since`; places count up from 0. Returns how many rows there are.
template <class Write>
i64 Table::export_runs(i64 start, i64 stop, u32 since, const Write& write) const {
  const RowsView view = this->rows();
  const i64 slab_rows = i64{1} << layout_.slab_shift;
  const i64 count = std::max<i64>(0, std::min(stop, row_limit_) - start);
  const auto exported = [&](i64 row) {
    return is_live(static_cast<u64>(row)) &&
           (since == 0 || row_version(view, static_cast<u32>(row)) > since);
  };
  part_counts_.assign(static_cast<std::size_t>(threads_.parts(count)), 0);
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    i64 found = 0;
    for (i64 row = start + begin; row < start + end; ++row) found += exported(row);
    part_counts_[static_cast<std::size_t>(part)] = found;
  });
  i64 total = 0;
  for (i64& before : part_counts_) total += std::exchange(before, total);
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    i64 at = part_counts_[static_cast<std::size_t>(part)];
    for (i64 row = start + begin; row < start + end; ++row) {
      if (!exported(row)) continue;
      const i64 slab_end = std::min(start + end, (row / slab_rows + 1) * slab_rows);
      i64 last = row + 1;
      while (last < slab_end && exported(last)) ++last;
      write(static_cast<u32>(row), last - row, at);
      at += last - row;
      row = last - 1;
    }
  });
  return total;
}

}  // namespace emberline
