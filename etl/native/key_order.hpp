// The order of categories: by descending count, equal counts by ascending key.
#pragma once

#include <algorithm>
#include <vector>

#include "arrow_column.hpp"

namespace emberline::etl {

// Gives the rows of `keys`, which are distinct and not null, in that order.
inline std::vector<u32> ordered(const Column& keys, const i64* counts) {
  struct Item {
    i64 count;
    u64 rank;  // ascends with the key, but for texts of the same first 8 bytes
    u32 row;
  };
  std::vector<Item> items(keys.size());
  for (i64 row = 0; row < keys.size(); ++row)
    items[row] = {counts[row], keys.rank(row), static_cast<u32>(row)};
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
    if (a.count != b.count) return a.count > b.count;
    if (a.rank != b.rank) return a.rank < b.rank;
    return keys.text() && keys.bytes(a.row) < keys.bytes(b.row);
  });
  std::vector<u32> rows(items.size());
  std::transform(items.begin(), items.end(), rows.begin(), [](const Item& i) { return i.row; });
  return rows;
}

}  // namespace emberline::etl
