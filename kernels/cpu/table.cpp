// Storage and growth of the table: slabs, index, free list.
#include "table.hpp"

#include <algorithm>

namespace emberline {

namespace {

// Up to 4 MiB a slab: small tables stay small, and a large one has few enough slabs that the
// pointer table stays in the first-level cache.
constexpr i64 kSlabBytes = i64{4} << 20;

constexpr std::size_t kAhead = 24;

u64 chunks_for(i64 keys) {
  u64 chunks = 1;
  while (kUsedPerChunk * chunks < static_cast<u64>(keys)) chunks *= 2;
  return chunks;
}

// Chunks of a rebuilt index. At 90 % of the limit it would soon be rebuilt again, as tombstones
// come back.
u64 rebuilt_chunks(u64 present, i64 keys) {
  const u64 chunks = std::max(present, chunks_for(keys));
  return 10 * static_cast<u64>(keys) > 9 * kUsedPerChunk * chunks ? 2 * chunks : chunks;
}

}  // namespace

Table::Table(TableConfig config)
    : config_(std::move(config)),
      threads_(config_.threads, config_.grain),
      layout_(make_row_layout(config_.dim, config_.row_type,
                              optimizer_state_floats(config_.optimizer.kind, config_.dim),
                              kSlabBytes)),
      initialize_(initialize_function(best_simd())),
      halves_(half_rows(config_.row_type, best_simd())),
      update_row_(update_function(best_simd())),
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
  const i64 given_back_rows = given_back_count_ << layout_.slab_shift;
  usage.rows -= given_back_count_ * layout_.slab_bytes - given_back_rows * kMetadataBytes;
  usage.metadata -= given_back_rows * kMetadataBytes;
  usage.scratch = distinct_.memory_bytes() + sum_scratch_.memory_bytes() +
                  positions_scratch_.memory_bytes() + rows_scratch_.memory_bytes() +
                  order_scratch_[0].memory_bytes() + order_scratch_[1].memory_bytes() +
                  static_cast<i64>(batch_rows_.capacity() * 8);
  usage.log = log_.memory_bytes();
  if (admission_ != nullptr) {
    usage.admission = admission_->memory_bytes();
    usage.scratch += admission_->scratch_bytes();
  }
  return usage;
}

// Of a new table of this kind after `reserve(keys)`.
MemoryUsage Table::memory_usage_for(i64 keys) const {
  Lock lock(mutex_);
  MemoryUsage usage{};
  const bool small = static_cast<u64>(keys) <= kUsedPerChunk;
  usage.index = Pages::rounded((small ? 1 : rebuilt_chunks(1, keys)) * sizeof(Chunk));
  const i64 slab_rows = i64{1} << layout_.slab_shift;
  const i64 slabs = (keys + slab_rows - 1) >> layout_.slab_shift;
  usage.metadata = slabs * slab_rows * kMetadataBytes + (slabs * slab_rows + 63) / 64 * 8;
  usage.rows = Pages::rounded(static_cast<std::size_t>(slabs * layout_.slab_bytes)) -
               slabs * slab_rows * kMetadataBytes;
  if (admission_ != nullptr) usage.admission = admission_->fixed_bytes();
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
  Pages index_pages(sizeof(Chunk));  // throws before anything changed
  log_.reserve(size_);
  for (i64 row = 0; row < row_limit_; ++row) {
    if (!is_live(static_cast<u64>(row))) continue;
    log_.append(row_key(rows(), static_cast<u32>(row)), version_);
  }
  erased_ += size_;
  newest_step_ = 0;
  if (admission_ != nullptr) admission_->clear();
  index_pages_ = std::move(index_pages);
  chunk_count_ = 1;
  tombstones_ = 0;
  slabs_.clear();
  extents_.clear();
  live_.clear();
  free_.clear();
  given_back_.clear();
  given_back_count_ = 0;
  size_ = 0;
  row_limit_ = 0;
}

// Make room for `new_keys` absent keys, or throw TableFull with nothing visibly changed.
// `evicted` keys will be gone by the time they come, but their slots may be tombstones then.
void Table::ensure_room(i64 new_keys, i64 evicted) {
  if (new_keys > config_.max_rows - size_ + evicted) {
    throw TableFull("table '" + config_.name + "' is full: it holds " + std::to_string(size_) +
                    " rows, " + std::to_string(new_keys) + " more were asked for and max_rows is " +
                    std::to_string(config_.max_rows) + "; erase keys or raise max_rows");
  }
  try {
    const i64 tail = std::max<i64>(0, new_keys - static_cast<i64>(free_.size()) - evicted);
    ensure_slabs(row_limit_ + tail);
    if (given_back_count_ != 0) claim_slabs(new_keys - evicted);
    const u64 needed = static_cast<u64>(size_ + new_keys);
    if (needed + tombstones_ > kUsedPerChunk * chunk_count_) {
      rebuild_index(rebuilt_chunks(chunk_count_, size_ + new_keys));
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
  given_back_.resize(static_cast<std::size_t>(have + add));
  extents_.reserve(extents_.size() + 1);
  for (i64 i = 0; i < add; ++i) slabs_.push_back(extent.data() + i * layout_.slab_bytes);
  extents_.push_back(std::move(extent));
}

// A new index from the old one; the rows stay where they are.
//
// Chunk counts are powers of two, so the keys of the chunks that are equal modulo the smaller
// count belong to chunks of the same class again: a class is read and written in a row by one
// thread, without random accesses. Only keys that were displaced from their class (or that a
// smaller index displaces now) are left over; they follow by class of their home chunk, and the
// few that remain one by one. The order is the index's own, whatever the threads.
void Table::rebuild_index(u64 chunk_count) {
  struct Displaced {
    i64 key;
    u32 row;
  };
  Pages pages(chunk_count * sizeof(Chunk));
  const IndexView fresh{reinterpret_cast<Chunk*>(pages.data()), chunk_count - 1,
                        config_.hash_mask};
  const IndexView old = this->index();
  const u64 classes = std::min(chunk_count, chunk_count_);
  const i64 parts = threads_.parts(static_cast<i64>(classes));
  std::vector<std::vector<Displaced>> displaced(static_cast<std::size_t>(parts));
  const u64 targets = chunk_count / classes;
  const int class_bits = __builtin_ctzll(classes);
  threads_.run_ranges(static_cast<i64>(classes), [&](i64 begin, i64 end, i64 part) {
    std::vector<u8> used(targets);  // slots of the class's new chunks, filled in order
    for (i64 at = begin; at < end; ++at) {
      std::fill(used.begin(), used.end(), u8{0});
      for (u64 from = static_cast<u64>(at); from < chunk_count_; from += classes) {
        const Chunk& chunk = old.chunks[from];
        for (int slot = 0; slot < kSlots; ++slot) {
          if (chunk.tag[slot] <= kTombstone) continue;
          const i64 key = chunk.key[slot];
          const u64 key_hash = hash(key);
          const u64 home = key_hash & (chunk_count - 1);
          u8& next = used[home >> class_bits];
          if ((home & (classes - 1)) == static_cast<u64>(at) && next < kSlots) {
            Chunk& to = fresh.chunks[home];
            to.tag[next] = chunk.tag[slot];
            to.row[next] = chunk.row[slot];
            to.key[next] = key;
            ++next;
          } else {
            displaced[static_cast<std::size_t>(part)].push_back({key, chunk.row[slot]});
          }
        }
      }
    }
  });
  std::vector<Displaced> rest;
  for (const std::vector<Displaced>& list : displaced) {
    rest.insert(rest.end(), list.begin(), list.end());
  }
  std::vector<u8> placed(rest.size());
  // Every group reads the whole list, so there is one for each thread and no more.
  const i64 groups = std::min<i64>(threads_.parts(static_cast<i64>(rest.size())),
                                   threads_.count());
  threads_.run(groups, [&](i64 group, int) {
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (i + kAhead < rest.size()) index_prefetch(fresh, hash(rest[i + kAhead].key));
      const u64 key_hash = hash(rest[i].key);
      const u64 home = key_hash & (chunk_count - 1);
      if (static_cast<i64>(home % static_cast<u64>(groups)) != group) continue;
      placed[i] =
          index_insert_home(fresh, rest[i].key, key_hash, rest[i].row) != SlotUse::full;
    }
  });
  std::size_t left = 0;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (placed[i] == 0) rest[left++] = rest[i];
  }
  for (std::size_t i = 0; i < left; ++i) {
    if (i + kAhead < left) index_prefetch_two(fresh, hash(rest[i + kAhead].key));
    index_insert_absent(fresh, rest[i].key, hash(rest[i].key), rest[i].row);
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

// As a new row of the table has them, so halves are rounded here too.
void Table::initialize_weights(i64 key, float* weights) const {
  initialize_(config_.initializer, initializer_stream(config_.seed, key), config_.dim, weights);
  if (halves_.read == nullptr) return;
  u16 halves[kHalfBlock];
  for (i64 start = 0; start < config_.dim; start += kHalfBlock) {
    const i64 lanes = std::min(kHalfBlock, config_.dim - start);
    halves_.write_nearest(weights + start, lanes, halves);
    halves_.read(halves, lanes, weights + start);
  }
}

void Table::initialize_halves(i64 key, u16* halves) const {
  const u64 stream = initializer_stream(config_.seed, key);
  float weights[kHalfBlock];
  for (i64 start = 0; start < config_.dim; start += kHalfBlock) {
    const i64 lanes = std::min(kHalfBlock, config_.dim - start);
    initialize_(config_.initializer, initializer_skip(stream, start / 2), lanes, weights);
    halves_.write_nearest(weights, lanes, halves + start);
  }
}

// All but the live bit, which rows of one word share.
void Table::initialize_row(u32 row, i64 key, NewWeights weights) {
  const RowsView rows = this->rows();
  if (weights == NewWeights::initial && halves_.read == nullptr) {
    initialize_weights(key, row_weights(rows, row));
  } else if (weights == NewWeights::initial) {
    initialize_halves(key, row_halves(rows, row));
  } else if (weights == NewWeights::zeros) {
    std::fill_n(row_weights(rows, row), layout_.weight_floats, 0.0f);
  }
  float* states = row_states(rows, row);
  for (i64 i = 0; i < layout_.state_floats; ++i) {
    states[i] = optimizer_initial_state(config_.optimizer, config_.dim, i);
  }
  row_key(rows, row) = key;
  row_frequency(rows, row) = 0;
  row_last_step(rows, row) = 0;
  row_version(rows, row) = version_;
}

}  // namespace emberline
