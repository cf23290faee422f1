// From keys to rows: find, find_or_insert, erase. Keys are hashed ahead and their chunks
// prefetched, so that many memory accesses are under way at a time.
#include <algorithm>
#include <utility>

#include "batch_marks.hpp"
#include "table.hpp"

namespace emberline {

namespace {

constexpr i64 kAhead = 24;  // 8 to 48 measured within 10 % of each other (4 M keys, dim 16)
constexpr i64 kBlock = 128;

}  // namespace

// Keys that come in the order of their rows, as those of an exported range do, are recognized by
// the rows' own keys, a sequential read. Tried once a block: a test at each key costs random ones
// a twentieth.
void Table::find_range(const i64* keys, i64 count, i64* rows) const {
  const IndexView index = this->index();
  i64 prefetched = 0;
  for (i64 begin = 0; begin < count;) {
    for (; prefetched < std::min(begin + kAhead, count); ++prefetched) {
      index_prefetch(index, hash(keys[prefetched]));
    }
    const i64 end = std::min(begin + kBlock, count);
    for (i64 i = begin; i < end; ++i) {
      if (i + kAhead < count) index_prefetch(index, hash(keys[i + kAhead]));
      const u32 row = index_find(index, keys[i], hash(keys[i]));
      rows[i] = row == kNoRow ? -1 : static_cast<i64>(row);
    }
    prefetched = end + kAhead;
    begin = end;
    if (end == 1 || rows[end - 1] < 0 || rows[end - 1] != rows[end - 2] + 1) continue;
    const i64 run = run_length(keys + end - 1, count - end + 1, rows[end - 1]);
    for (i64 i = 1; i < run; ++i) rows[end - 1 + i] = rows[end - 1] + i;
    begin += run - 1;
    prefetched = std::max(prefetched, begin);
  }
}

// How many of the keys have the rows that follow `first`, which is the first key's; at least 1.
i64 Table::run_length(const i64* keys, i64 count, i64 first) const {
  const RowsView view = this->rows();
  const i64 most = std::min(count, row_limit_ - first);
  i64 run = 1;
  while (run < most && keys[run] == row_key(view, static_cast<u32>(first + run)) &&
         is_live(static_cast<u64>(first + run))) {
    ++run;
  }
  return run;
}

void Table::find(const i64* keys, i64 count, i64* rows) const {
  Lock lock(mutex_);
  find_unlocked(keys, count, rows);
}

void Table::find_unlocked(const i64* keys, i64 count, i64* rows) const {
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64) {
    find_range(keys + begin, end - begin, rows + begin);
  });
}

// Steps, each on all threads: look up; partition what is absent and find each key's first
// occurrence; make room once, for all or for none; number and initialize rows by position; put
// the keys into the index by partition.
void Table::find_or_insert_unlocked(const i64* keys, i64 count, i64* rows, NewWeights weights,
                                    bool filter) {
  const i64 added = prepare_insert(keys, count, rows, filter);
  insert_new(keys, count, added, rows, weights);
}

// All that can fail, with nothing visibly changed. Returns the number of new keys and leaves marks
// in `rows` for `insert_new`, which must follow before anything else is done with the table. With
// `filter`, admission may keep some of the new keys out.
i64 Table::prepare_insert(const i64* keys, i64 count, i64* rows, bool filter) {
  const i64 parts = threads_.parts(count);
  pending_ = {};
  i64 added = 0;
  try {
    distinct_.start(parts);
    threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
      find_range(keys + begin, end - begin, rows + begin);
      i64* counts = distinct_.counts(part);
      for (i64 i = begin; i < end; ++i) {
        if (rows[i] < 0) ++counts[key_partition(hash(keys[i]))];
      }
    });
    if (distinct_.layout(parts) == 0) return 0;
    part_counts_.assign(static_cast<std::size_t>(parts), 0);
  } catch (const std::bad_alloc&) {
    throw TableFull("table '" + config_.name + "' is out of memory: the system refused the " +
                    "scratch memory for a batch of " + std::to_string(count) +
                    " keys; use smaller batches");
  }
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    for (i64 i = begin; i < end; ++i) {
      if (rows[i] < 0) distinct_.add(part, keys[i], hash(keys[i]), i);
    }
  });
  threads_.run(parts == 1 ? 1 : kPartitions, [&](i64 part, int) {
    const i64 end = parts == 1 ? kPartitions : part + 1;
    for (i64 partition = part; partition < end; ++partition) {
      distinct_.keep_first(partition, config_.hash_mask, [&](i64 position, i64 first) {
        rows[position] = repeats(first);
      });
    }
  });
  if (filter && admission_ != nullptr) decide_admission(keys, count, rows);
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    part_counts_[static_cast<std::size_t>(part)] = std::count(rows + begin, rows + end, kFirst);
  });
  for (i64& before : part_counts_) added += std::exchange(before, added);
  make_room(added, rows, count);
  return added;
}

// After `prepare_insert`; nothing here can fail.
void Table::insert_new(const i64* keys, i64 count, i64 added, i64* rows, NewWeights weights) {
  commit_pending(keys, count, rows, added);
  if (added > 0) insert_first(keys, count, added, rows, weights);
  if (pending_.refused > 0) std::replace(rows, rows + count, kRefused, i64{-1});
}

void Table::insert_first(const i64* keys, i64 count, i64 added, i64* rows, NewWeights weights) {
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64 part) {
    i64 rank = part_counts_[static_cast<std::size_t>(part)];
    for (i64 i = begin; i < end; ++i) {
      if (rows[i] != kFirst) continue;
      const u32 row = new_row(rank++);
      initialize_row(row, keys[i], weights);
      rows[i] = static_cast<i64>(row);
    }
  });
  threads_.run_ranges(count, [&](i64 begin, i64 end, i64) {
    for (i64 i = begin; i < end; ++i) {
      // Another thread may be here with the first's place, but never changes it: it is a row.
      if (rows[i] < kFirst && rows[i] != kRefused) rows[i] = rows[repeats(rows[i])];
    }
  });
  const i64 reused = std::min(added, static_cast<i64>(free_.size()));
  for (i64 rank = 0; rank < reused; ++rank) set_live(new_row(rank));
  for (i64 row = row_limit_; row < row_limit_ + added - reused; ++row) {
    set_live(static_cast<u32>(row));
  }
  index_new(count, rows);
  free_.resize(free_.size() - static_cast<std::size_t>(reused));
  row_limit_ += added - reused;
  size_ += added;
  distinct_.trim(kKeptScratchBytes);
}

// Put the new keys into the index. A home chunk belongs to one partition, so partitions fill home
// chunks at the same time; keys whose home chunk is full come after, one by one. Both orders are
// the batch's own: the index's layout does not depend on the threads either.
void Table::index_new(i64 count, const i64* rows) {
  const IndexView index = this->index();
  const bool parallel = threads_.parts(count) > 1 && chunk_count_ >= kPartitions;
  u64 reused_tombstones[kPartitions] = {};
  threads_.run(parallel ? kPartitions : 1, [&](i64 part, int) {
    const i64 end = parallel ? part + 1 : kPartitions;
    for (i64 partition = part; partition < end; ++partition) {
      AbsentKey* keys = distinct_.keys(partition);
      const i64 size = distinct_.size(partition);
      i64 left = 0;
      for (i64 i = 0; i < size; ++i) {
        if (i + kAhead < size) {
          index_prefetch(index, hash(keys[i + kAhead].key));
          prefetch(rows + keys[i + kAhead].position);
        }
        const i64 row = rows[keys[i].position];
        const u64 key_hash = hash(keys[i].key);
        const SlotUse use =
            index_insert_home(index, keys[i].key, key_hash, static_cast<u32>(row));
        if (use == SlotUse::full) keys[left++] = keys[i];
        reused_tombstones[partition] += use == SlotUse::tombstone;
      }
      distinct_.resize(partition, left);
    }
  });
  for (i64 partition = 0; partition < kPartitions; ++partition) {
    const AbsentKey* keys = distinct_.keys(partition);
    const i64 left = distinct_.size(partition);
    for (i64 i = 0; i < std::min(kAhead, left); ++i) index_prefetch_two(index, hash(keys[i].key));
    for (i64 i = 0; i < left; ++i) {
      if (i + kAhead < left) index_prefetch_two(index, hash(keys[i + kAhead].key));
      const u32 row = static_cast<u32>(rows[keys[i].position]);
      const SlotUse use = index_insert_absent(index, keys[i].key, hash(keys[i].key), row);
      tombstones_ -= use == SlotUse::tombstone;
    }
    tombstones_ -= reused_tombstones[partition];
  }
}

void Table::find_or_insert(const i64* keys, i64 count, i64* rows) {
  Lock lock(mutex_);
  find_or_insert_unlocked(keys, count, rows, NewWeights::initial, true);
}

i64 Table::erase(const i64* keys, i64 count) {
  Lock lock(mutex_);
  reserve_removals(std::min(count, size_));
  const IndexView index = this->index();
  i64 erased = 0;
  for (i64 i = 0; i < count; ++i) {
    if (i + kAhead < count) index_prefetch(index, hash(keys[i + kAhead]));
    const IndexPosition position = index_locate(index, keys[i], hash(keys[i]));
    if (position.slot < 0) continue;
    const u32 row = index.chunks[position.chunk].row[position.slot];
    if (index_erase(index, position) == SlotUse::tombstone) ++tombstones_;
    live_[row / 64] &= ~(u64{1} << (row % 64));
    free_.push_back(row);
    log_.append(keys[i], version_);
    ++erased;
  }
  size_ -= erased;
  erased_ += erased;
  return erased;
}

}  // namespace emberline
