// Storage and growth of the table: slabs, index, free list.
#include "table.hpp"

#include <algorithm>

namespace emberline {

namespace {

// Up to 4 MiB a slab: small tables stay small, and a large one has few enough slabs that the
// pointer table stays in the first-level cache.
constexpr i64 kSlabBytes = i64{4} << 20;

u64 chunks_for(i64 keys) {
  u64 chunks = 1;
  while (kUsedPerChunk * chunks < static_cast<u64>(keys)) chunks *= 2;
  return chunks;
}

}  // namespace

Table::Table(TableConfig config)
    : config_(std::move(config)),
      layout_(make_row_layout(config_.dim,
                              optimizer_state_floats(config_.optimizer.kind, config_.dim),
                              kSlabBytes)),
      index_pages_(sizeof(Chunk)),
      chunk_count_(1) {}

i64 Table::size() const {
  Lock lock(mutex_);
  return size_;
}

i64 Table::row_limit() const {
  Lock lock(mutex_);
  return row_limit_;
}

MemoryUsage Table::memory_usage() const {
  Lock lock(mutex_);
  MemoryUsage usage{};
  usage.index = static_cast<i64>(index_pages_.size());
  const i64 slab_rows = static_cast<i64>(slabs_.size()) << layout_.slab_shift;
  usage.metadata = slab_rows * kMetadataBytes + static_cast<i64>(live_.capacity() * 8) +
                   static_cast<i64>(free_.capacity() * 4);
  for (const Pages& extent : extents_) usage.rows += static_cast<i64>(extent.size());
  usage.rows -= slab_rows * kMetadataBytes;
  usage.scratch = distinct_.memory_bytes();
  usage.scratch += static_cast<i64>(sum_scratch_.capacity() + positions_scratch_.capacity()) * 4;
  usage.scratch += static_cast<i64>(rows_scratch_.capacity() + order_scratch_[0].capacity() +
                                    order_scratch_[1].capacity()) * 8;
  return usage;
}

u32 Table::advance_version() {
  Lock lock(mutex_);
  if (version_ == kNoRow) {
    throw TableFull("table '" + config_.name + "' used all versions; export and reload it");
  }
  return version_++;
}

void Table::reserve(i64 keys) {
  Lock lock(mutex_);
  if (keys > size_) ensure_room(keys - size_);
}

void Table::clear() {
  Lock lock(mutex_);
  index_pages_ = Pages(sizeof(Chunk));  // throws before anything changed
  chunk_count_ = 1;
  tombstones_ = 0;
  slabs_.clear();
  extents_.clear();
  live_.clear();
  free_.clear();
  size_ = 0;
  row_limit_ = 0;
}

// Make room for `new_keys` absent keys, or throw TableFull with nothing visibly changed.
void Table::ensure_room(i64 new_keys) {
  if (new_keys > config_.max_rows - size_) {
    throw TableFull("table '" + config_.name + "' is full: it holds " + std::to_string(size_) +
                    " rows, " + std::to_string(new_keys) + " more were asked for and max_rows is " +
                    std::to_string(config_.max_rows) + "; erase keys or raise max_rows");
  }
  try {
    const i64 tail = std::max<i64>(0, new_keys - static_cast<i64>(free_.size()));
    ensure_slabs(row_limit_ + tail);
    const u64 needed = static_cast<u64>(size_ + new_keys);
    if (needed + tombstones_ > kUsedPerChunk * chunk_count_) {
      u64 chunk_count = std::max(chunk_count_, chunks_for(size_ + new_keys));
      // Rebuilding at 90 % of the limit would soon be repeated as tombstones come back.
      if (10 * needed > 9 * kUsedPerChunk * chunk_count) chunk_count *= 2;
      rebuild_index(chunk_count);
    }
  } catch (const std::bad_alloc&) {
    throw TableFull("table '" + config_.name + "' is out of memory: it holds " +
                    std::to_string(size_) + " rows and the system refused memory for " +
                    std::to_string(new_keys) + " more; erase keys or use a smaller dim");
  }
}

// Slabs are added in extents of at least an eighth of what there is: a mapped page that nothing
// touched costs no memory, and few mappings keep huge pages whole.
void Table::ensure_slabs(i64 row_count) {
  const i64 have = static_cast<i64>(slabs_.size());
  const i64 slab_rows = i64{1} << layout_.slab_shift;
  const i64 needed = (row_count + slab_rows - 1) / slab_rows;
  live_.reserve(static_cast<std::size_t>(((needed << layout_.slab_shift) + 63) / 64));
  if (const auto words = static_cast<std::size_t>((row_count + 63) / 64); words > live_.size()) {
    live_.resize(words);
  }
  if (needed <= have) return;
  const i64 add = std::max(needed - have, have / 8);
  Pages extent(static_cast<std::size_t>(add * layout_.slab_bytes));
  slabs_.reserve(static_cast<std::size_t>(have + add));
  extents_.reserve(extents_.size() + 1);
  for (i64 i = 0; i < add; ++i) slabs_.push_back(extent.data() + i * layout_.slab_bytes);
  extents_.push_back(std::move(extent));
}

// A new index from the rows' keys, in row order; the rows stay where they are.
void Table::rebuild_index(u64 chunk_count) {
  Pages pages(chunk_count * sizeof(Chunk));
  const IndexView fresh{reinterpret_cast<Chunk*>(pages.data()), chunk_count - 1,
                        config_.hash_mask};
  const RowsView rows = this->rows();
  constexpr i64 kAhead = 24;
  for (i64 row = 0; row < row_limit_; ++row) {
    if (row + kAhead < row_limit_) {
      index_prefetch(fresh, hash(row_key(rows, static_cast<u32>(row + kAhead))));
    }
    if (!is_live(static_cast<u64>(row))) continue;
    const i64 key = row_key(rows, static_cast<u32>(row));
    index_insert_absent(fresh, key, hash(key), static_cast<u32>(row));
  }
  index_pages_ = std::move(pages);
  chunk_count_ = chunk_count;
  tombstones_ = 0;
}

// The row of the `rank`-th new key: erased rows first, the last erased one before others.
u32 Table::new_row(i64 rank) const {
  const i64 reusable = static_cast<i64>(free_.size());
  if (rank < reusable) return free_[static_cast<std::size_t>(reusable - 1 - rank)];
  return static_cast<u32>(row_limit_ + rank - reusable);
}

void Table::initialize_weights(i64 key, float* weights) const {
  const u64 stream = initializer_stream(config_.seed, key);
  for (i64 pair = 0; 2 * pair < config_.dim; ++pair) {
    initialize_pair(config_.initializer, stream, pair, config_.dim, weights);
  }
}

void Table::initialize_row(u32 row, i64 key) {
  const RowsView rows = this->rows();
  initialize_weights(key, row_weights(rows, row));
  float* states = row_states(rows, row);
  std::fill(states, states + layout_.state_floats, config_.optimizer.initial_state);
  row_key(rows, row) = key;
  row_frequency(rows, row) = 0;
  row_last_step(rows, row) = 0;
  row_version(rows, row) = version_;
  live_[row / 64] |= u64{1} << (row % 64);
}

// Insert absent, distinct keys after `ensure_room`; nothing here can fail.
void Table::insert_new(const std::vector<i64>& keys) {
  const IndexView index = this->index();
  constexpr i64 kAhead = 16;
  const i64 count = static_cast<i64>(keys.size());
  for (i64 rank = 0; rank < count; ++rank) {
    if (rank + kAhead < count) {
      index_prefetch(index, hash(keys[static_cast<std::size_t>(rank + kAhead)]));
    }
    const i64 key = keys[static_cast<std::size_t>(rank)];
    const u32 row = new_row(rank);
    initialize_row(row, key);
    if (index_insert_absent(index, key, hash(key), row) == SlotUse::tombstone) --tombstones_;
  }
  const i64 reused = std::min(count, static_cast<i64>(free_.size()));
  free_.resize(free_.size() - static_cast<std::size_t>(reused));
  row_limit_ += count - reused;
  size_ += count;
}

}  // namespace emberline
