// Whole rows in and out: assign, import, export, and the list of keys.
#include <algorithm>

#include "table.hpp"

namespace emberline {

void Table::upsert(const RangeInput& input) {
  Lock lock(mutex_);
  rows_scratch_.resize(static_cast<std::size_t>(input.count));
  find_or_insert_unlocked(input.keys, input.count, rows_scratch_.data());
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 state_floats = layout_.state_floats;
  for (i64 i = 0; i < input.count; ++i) {  // in order: the last of equal keys wins
    const u32 row = static_cast<u32>(rows_scratch_[static_cast<std::size_t>(i)]);
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
}

i64 Table::export_keys(i64 start, i64 stop, i64* keys) const {
  Lock lock(mutex_);
  const RowsView view = this->rows();
  i64 count = 0;
  for (i64 row = start; row < std::min(stop, row_limit_); ++row) {
    if (is_live(static_cast<u64>(row))) keys[count++] = row_key(view, static_cast<u32>(row));
  }
  return count;
}

i64 Table::export_rows(i64 start, i64 stop, u32 since, const RangeOutput& out) const {
  Lock lock(mutex_);
  const RowsView view = this->rows();
  const i64 dim = config_.dim;
  const i64 state_floats = layout_.state_floats;
  i64 count = 0;
  for (i64 i = start; i < std::min(stop, row_limit_); ++i) {
    const u32 row = static_cast<u32>(i);
    if (!is_live(row) || row_version(view, row) <= since) continue;
    const float* weights = row_weights(view, row);
    std::copy(weights, weights + dim, out.values + count * dim);
    std::copy(weights + dim, weights + dim + state_floats, out.states + count * state_floats);
    out.keys[count] = row_key(view, row);
    out.frequency[count] = row_frequency(view, row);
    out.last_step[count] = row_last_step(view, row);
    ++count;
  }
  return count;
}

}  // namespace emberline
