// What changed since a version: rows written, keys removed.
#include "table.hpp"

namespace emberline {

u32 Table::version() const {
  Lock lock(mutex_);
  return version_;
}

// The keys of rows written after version `since`, in row order, and those removed after it and
// absent now, in order of first removal. A key that left and came back is a written one.
TableChanges Table::changed_since(u32 since) const {
  Lock lock(mutex_);
  if (since >= version_) {
    throw VersionError("table '" + config_.name + "': version " + std::to_string(since) +
                       " is not closed, the open one is " + std::to_string(version_) +
                       "; use a number that advance_version returned, or 0 for all");
  }
  if (since < log_.begin()) {
    throw VersionError("table '" + config_.name + "': the keys removed since version " +
                       std::to_string(since) + " are no longer all known, those since version " +
                       std::to_string(log_.begin()) +
                       " are; start over from a full export, or make the table with a larger " +
                       "eviction_log");
  }
  TableChanges changes;
  const RowsView view = this->rows();
  for (i64 i = 0; i < row_limit_; ++i) {
    const u32 row = static_cast<u32>(i);
    if (is_live(row) && row_version(view, row) > since) {
      changes.updated.push_back(row_key(view, row));
    }
  }
  i64 first = log_.size();
  while (first > 0 && log_[first - 1].version > since) --first;
  Candidates reported(config_.hash_mask);
  reported.reserve(log_.size() - first);
  const IndexView index = this->index();
  for (i64 i = first; i < log_.size(); ++i) {
    const i64 key = log_[i].key;
    if (reported.count(key) != 0 || index_find(index, key, hash(key)) != kNoRow) continue;
    reported.set(key, 1);
    changes.evicted.push_back(key);
  }
  return changes;
}

}  // namespace emberline
