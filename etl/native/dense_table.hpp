// Which number has a key, for numbers that lie close together: a table by value, less the smallest.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "arrow_column.hpp"

namespace emberline::etl {

class DenseTable {
 public:
  // Of keys in a range of more than `SPREAD` times their number there is none.
  static std::optional<DenseTable> of(const Column& keys) {
    if (keys.text() || keys.size() == 0) return std::nullopt;
    const auto [low, high] = std::minmax_element(keys.words(), keys.words() + keys.size(),
                                                 [](u64 a, u64 b) { return i64(a) < i64(b); });
    const u64 span = *high - *low;
    if (span >= static_cast<u64>(SPREAD * keys.size() + 1024)) return std::nullopt;
    DenseTable table{*low, std::vector<u32>(span + 2, NONE)};
    for (i64 row = 0; row < keys.size(); ++row) {
      u32& number = table.numbers_[keys.words()[row] - *low];
      if (number != NONE) throw std::invalid_argument("keys must be distinct");
      number = static_cast<u32>(row);
    }
    return table;
  }

  void find(const Column& column, i64 first, i64 unknown, i64 null, i64* out) const {
    const u64 outside = numbers_.size() - 1;
    for (i64 row = 0; row < column.size(); ++row) {
      const u32 number = numbers_[std::min(column.words()[row] - lowest_, outside)];
      const i64 found = number == NONE ? unknown : first + number;
      out[row] = column.valid(row) ? found : null;
    }
  }

 private:
  static constexpr i64 SPREAD = 8;
  static constexpr u32 NONE = 0xFFFFFFFF;

  DenseTable(u64 lowest, std::vector<u32> numbers)
      : lowest_(lowest), numbers_(std::move(numbers)) {}

  u64 lowest_;
  std::vector<u32> numbers_;
};

}  // namespace emberline::etl
