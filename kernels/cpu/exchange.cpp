// Whole rows in and out: assign, import, export, and the list of keys.
#include <algorithm>
#include <utility>

#include "table.hpp"

namespace emberline {

namespace {
constexpr u32 kOwnedRows = 64;  // whole lines of metadata, and few breaks in a run of new rows
}  // namespace

// Rows are written by the thread that owns them, each in the order of positions: the last of
// equal keys wins.
void Table::upsert(const RangeInput& input) {
  Lock lock(mutex_);
  i64* rows = rows_scratch_.ensure(input.count);
  find_or_insert_unlocked(input.keys, input.count, rows, NewWeights::unset);
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 state_floats = layout_.state_floats;
  // Every owner reads all row numbers, so there is one for each thread and no more.
  const i64 owners = std::min<i64>(threads_.parts(input.count), threads_.count());
  threads_.run(owners, [&](i64 owner, int) {
    for (i64 i = 0; i < input.count; ++i) {
      const u32 row = static_cast<u32>(rows[i]);
      if (row / kOwnedRows % owners != owner) continue;
      const float* values = input.values.data + i * input.values.stride;
      std::copy(values, values + dim, row_weights(view, row));
      if (input.states != nullptr) {
        const float* states = input.states + i * state_floats;
        std::copy(states, states + state_floats, row_states(view, row));
      }
      if (input.frequency != nullptr) row_frequency(view, row) = input.frequency[i];
      if (input.last_step != nullptr) row_last_step(view, row) = input.last_step[i];
      row_version(view, row) = version_;
    }
  });
  rows_scratch_.trim(kKeptScratchBytes);
}

i64 Table::export_keys(i64 start, i64 stop, i64* keys) const {
  Lock lock(mutex_);
  const RowsView view = this->rows();
  return export_ranges(start, stop, 0, [&](u32 row, i64 at) { keys[at] = row_key(view, row); });
}

i64 Table::export_rows(i64 start, i64 stop, u32 since, const RangeOutput& out) const {
  Lock lock(mutex_);
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 state_floats = layout_.state_floats;
  return export_ranges(start, stop, since, [&](u32 row, i64 at) {
    const float* weights = row_weights(view, row);
    std::copy(weights, weights + dim, out.values + at * dim);
    std::copy(weights + dim, weights + dim + state_floats, out.states + at * state_floats);
    out.keys[at] = row_key(view, row);
    out.frequency[at] = row_frequency(view, row);
    out.last_step[at] = row_last_step(view, row);
  });
}

// Call write(row, place) for the live rows of [start, stop) written after version `since`, places
// counting up from 0; returns how many there are.
template <class Write>
i64 Table::export_ranges(i64 start, i64 stop, u32 since, const Write& write) const {
  const RowsView view = this->rows();
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
      if (exported(row)) write(static_cast<u32>(row), at++);
    }
  });
  return total;
}

}  // namespace emberline
