// The invariants that tie index, rows and free list together.
#include "table.hpp"

namespace emberline {

std::string Table::check() const {
  Lock lock(mutex_);
  const IndexView index = this->index();
  const RowsView view = this->rows();
  u64 live_slots = 0;
  u64 tombstones = 0;
  for (u64 at = 0; at < chunk_count_; ++at) {
    const Chunk& chunk = index.chunks[at];
    for (int slot = 0; slot < kSlots; ++slot) {
      const std::string where =
          "index chunk " + std::to_string(at) + " slot " + std::to_string(slot) + ": ";
      tombstones += chunk.tag[slot] == kTombstone;
      if (chunk.tag[slot] == kEmpty || chunk.tag[slot] == kTombstone) continue;
      ++live_slots;
      const u32 row = chunk.row[slot];
      const i64 key = chunk.key[slot];
      if (row >= row_limit_) return where + "row " + std::to_string(row) + " does not exist";
      if (!is_live(row)) return where + "row " + std::to_string(row) + " is free";
      if (row_key(view, row) != key) {
        return where + "key " + std::to_string(key) + ", but row " + std::to_string(row) +
               " has key " + std::to_string(row_key(view, row));
      }
      const IndexPosition found = index_locate(index, key, hash(key));
      if (found.slot != slot || found.chunk != at) {
        return where + "key " + std::to_string(key) + " is not found here by a probe";
      }
    }
  }
  if (live_slots != static_cast<u64>(size_)) {
    return "index has " + std::to_string(live_slots) + " keys, the table counts " +
           std::to_string(size_);
  }
  if (tombstones != tombstones_) {
    return "index has " + std::to_string(tombstones) + " tombstones, the table counts " +
           std::to_string(tombstones_);
  }
  if (live_slots + tombstones > kUsedPerChunk * chunk_count_) {
    return "index is over its load factor";
  }
  i64 live_rows = 0;
  for (i64 row = 0; row < row_limit_; ++row) live_rows += is_live(static_cast<u64>(row));
  if (live_rows != size_) {
    return std::to_string(live_rows) + " rows are live, the table counts " + std::to_string(size_);
  }
  std::vector<bool> free(static_cast<std::size_t>(row_limit_));
  for (const u32 row : free_) {
    const std::string where = "free list: row " + std::to_string(row);
    if (row >= row_limit_) return where + " does not exist";
    if (is_live(row)) return where + " is live";
    if (free[row]) return where + " is listed twice";
    free[row] = true;
  }
  if (size_ + static_cast<i64>(free_.size()) != row_limit_) {
    return "rows are lost: " + std::to_string(size_) + " live and " +
           std::to_string(free_.size()) + " free of " + std::to_string(row_limit_);
  }
  return check_policies();
}

}  // namespace emberline
