// Which keys leave, and what becomes of their memory: restrict, expire, eviction when full, decay.
#include <algorithm>
#include <cmath>

#include "batch_marks.hpp"
#include "row_scan.hpp"
#include "table.hpp"

namespace emberline {

namespace {
constexpr i64 kAhead = 24;
}  // namespace

void Table::set_policy(const PolicyConfig& policy) {
  Lock lock(mutex_);
  policy_ = policy;
  log_.set_capacity(policy.log_capacity);
}

// A sketch has all its memory from the start.
void Table::set_admission(const AdmissionConfig& config) {
  Lock lock(mutex_);
  try {
    admission_ = std::make_unique<Admission>(config, config_.hash_mask);
  } catch (const std::bad_alloc&) {
    throw TableFull("table '" + config_.name + "' is out of memory: the system refused " +
                    std::to_string(config.width * config.depth) + " bytes for a sketch");
  }
}

PolicyState Table::policy_state() const {
  Lock lock(mutex_);
  return {newest_step_, admission_ == nullptr ? AdmissionState() : admission_->state()};
}

void Table::set_policy_state(PolicyState state) {
  Lock lock(mutex_);
  if (admission_ != nullptr) {
    try {
      admission_->set_state(state.admission);
    } catch (const std::bad_alloc&) {
      throw TableFull("table '" + config_.name + "' is out of memory: the system refused room for " +
                      std::to_string(state.admission.keys.size()) + " candidates");
    }
    for (const i64 key : state.admission.keys) {  // never a candidate and a key at once
      if (index_find(index(), key, hash(key)) != kNoRow) admission_->forget(key);
    }
  }
  newest_step_ = std::max(newest_step_, state.newest_step);
}

RowScan Table::scan(Score score, const u64* skip) const {
  const i64 offset = score == Score::frequency ? layout_.frequency_offset
                                               : layout_.last_step_offset;
  return {rows(), live_.data(), skip, row_limit_, offset, &threads_};
}

// Room for all that removing `count` keys writes, so that it cannot fail.
void Table::reserve_removals(i64 count) {
  const std::size_t needed = free_.size() + static_cast<std::size_t>(count);
  if (needed > free_.capacity()) free_.reserve(std::max(needed, 3 * free_.capacity() / 2));
  log_.reserve(count);
}

// Remove the `count` rows up to the cut, after `reserve_removals`. Logged in row order; the
// lowest row is reused first, so that high slabs stay empty. On one thread: with owners of chunks
// each thread would hash all keys, which took longer on two; to find all slots before any is freed
// took a quarter more of the processor.
void Table::evict(const RowScan& scan, const EvictionCut& cut, i64 count) {
  const std::size_t old = free_.size();
  free_.resize(old + static_cast<std::size_t>(count));
  u32* victims = free_.data() + old;
  scan.collect([&](u32 score, i64 key) { return is_evicted(cut, score, key); }, victims);
  const RowsView view = this->rows();
  const IndexView index = this->index();
  for (i64 i = 0; i < count; ++i) {
    if (i + kAhead < count) index_prefetch(index, hash(row_key(view, victims[i + kAhead])));
    const u32 row = victims[i];
    const i64 key = row_key(view, row);
    const IndexPosition position = index_locate(index, key, hash(key));
    if (index_erase(index, position) == SlotUse::tombstone) ++tombstones_;
    live_[row / 64] &= ~(u64{1} << (row % 64));
    log_.append(key, version_);
  }
  std::reverse(victims, victims + count);
  size_ -= count;
  evicted_ += count;
}

// Keep the `num_reserved` rows of highest score.
i64 Table::restrict(i64 num_reserved, i64 trigger, Score score) {
  Lock lock(mutex_);
  if (size_ <= trigger || size_ <= num_reserved) return 0;
  const i64 count = size_ - num_reserved;
  const RowScan scan = this->scan(score, nullptr);
  const EvictionCut cut = select_cut(scan, count);
  reserve_removals(count);
  evict(scan, cut, count);
  give_back_empty_slabs();
  return count;
}

// Remove the rows last updated before `step`.
i64 Table::expire_unlocked(u32 step) {
  if (step == 0) return 0;
  const RowScan scan = this->scan(Score::last_step, nullptr);
  const EvictionCut cut{step - 1, ~u64{0}};
  const i64 count = scan.count([&](u32 score) { return score < step; });
  if (count == 0) return 0;
  reserve_removals(count);
  evict(scan, cut, count);
  give_back_empty_slabs();
  return count;
}

i64 Table::expire_before(u32 step) {
  Lock lock(mutex_);
  return expire_unlocked(step);
}

// Time is that of the updates, so a replay expires the same keys.
i64 Table::expire_older_than(u32 steps) {
  Lock lock(mutex_);
  return newest_step_ > steps ? expire_unlocked(newest_step_ - steps) : 0;
}

// floor(frequency * factor): a double holds the product of both to well below one.
void Table::decay_frequency(double factor) {
  Lock lock(mutex_);
  if (admission_ != nullptr) admission_->decay(factor);
  scan(Score::frequency, nullptr).parallel([&](const RowBlock& block, i64, int) {
    block.each([&](int i) {
      block.scores[i] = static_cast<u32>(std::floor(static_cast<double>(block.scores[i]) * factor));
    });
  });
}

// Room for `new_keys` absent keys of a batch whose present keys have `rows` (negative: absent).
// At max_rows, and where the policy says so, the first rows in eviction order will go that are
// not of this batch. TableFull, with nothing visibly changed, where that is not enough.
void Table::make_room(i64 new_keys, const i64* rows, i64 count) {
  const i64 excess = size_ + new_keys - config_.max_rows;
  if (excess <= 0 || !policy_.evict_when_full) return ensure_room(new_keys);
  try {
    batch_rows_.assign(live_.size(), 0);
    for (i64 i = 0; i < count; ++i) {
      if (rows[i] >= 0) batch_rows_[static_cast<u64>(rows[i]) / 64] |= u64{1} << (rows[i] % 64);
    }
    i64 present = 0;
    for (const u64 word : batch_rows_) present += __builtin_popcountll(word);
    if (present + new_keys > config_.max_rows) {
      throw TableFull("table '" + config_.name + "' is full: one batch has " +
                      std::to_string(present + new_keys) + " distinct keys and max_rows is " +
                      std::to_string(config_.max_rows) + "; use smaller batches or raise max_rows");
    }
    const EvictionCut cut = select_cut(scan(policy_.score, batch_rows_.data()), excess);
    reserve_removals(excess);
    ensure_room(new_keys, excess);
    pending_.evictions = excess;
    pending_.cut = cut;
  } catch (const std::bad_alloc&) {
    throw TableFull("table '" + config_.name + "' is out of memory: the system refused the " +
                    "scratch memory that choosing " + std::to_string(excess) +
                    " keys to evict needs; restrict the table or use a smaller max_rows");
  }
}

// Ask admission about a batch's new keys, of which the refused ones are marked and taken out of
// `distinct_`. Nothing is counted yet.
void Table::decide_admission(const i64* keys, i64 count, i64* rows) {
  try {
    pending_.refused = admission_->decide(keys, count, rows);
  } catch (const std::bad_alloc&) {
    throw TableFull("table '" + config_.name + "' is out of memory: the system refused room for " +
                    "the candidates of a batch of " + std::to_string(count) +
                    " keys; decay the frequencies or use a SketchAdmission");
  }
  pending_.admission = true;
  if (pending_.refused == 0) return;
  for (i64 partition = 0; partition < kPartitions; ++partition) {
    AbsentKey* absent = distinct_.keys(partition);
    const auto end = std::remove_if(
        absent, absent + distinct_.size(partition),
        [=](const AbsentKey& entry) { return rows[entry.position] == kRefused; });
    distinct_.resize(partition, end - absent);
  }
}

// Carry out what `prepare_insert` decided beside the insertion itself; cannot fail.
void Table::commit_pending(const i64* keys, i64 count, const i64* rows, i64 added) {
  if (pending_.evictions > 0) {
    evict(scan(policy_.score, batch_rows_.data()), pending_.cut, pending_.evictions);
  }
  if (pending_.admission) {
    admission_->commit();
    rejected_ += pending_.refused;
  } else if (admission_ != nullptr && added > 0) {  // written without asking it
    for (i64 i = 0; i < count; ++i) {
      if (rows[i] == kFirst) admission_->forget(keys[i]);
    }
  }
}

// The system gets the memory of slabs without a live row; reused, they are zeros again.
void Table::give_back_empty_slabs() {
  const i64 slab_rows = i64{1} << layout_.slab_shift;
  for (std::size_t slab = 0; slab << layout_.slab_shift < static_cast<u64>(row_limit_); ++slab) {
    if (given_back_[slab]) continue;
    const i64 begin = static_cast<i64>(slab) << layout_.slab_shift;
    const i64 end = std::min(begin + slab_rows, row_limit_);
    bool empty = true;
    for (i64 row = begin; empty && row < end; row = (row / 64 + 1) * 64) {
      u64 word = live_[row / 64] >> (row % 64);
      if (slab_rows < 64) word &= (u64{1} << slab_rows) - 1;
      empty = word == 0;
    }
    if (!empty) continue;
    give_back(slabs_[slab], slabs_[slab] + layout_.slab_bytes);
    given_back_[slab] = true;
    ++given_back_count_;
  }
}

// Count the slabs of the next `new_keys` rows as used again.
void Table::claim_slabs(i64 new_keys) {
  for (i64 rank = 0; rank < new_keys && given_back_count_ != 0; ++rank) {
    const std::size_t slab = new_row(rank) >> layout_.slab_shift;
    if (!given_back_[slab]) continue;
    given_back_[slab] = false;
    --given_back_count_;
  }
}

TableStats Table::stats() const {
  Lock lock(mutex_);
  TableStats stats{};
  stats.size = size_;
  stats.slots = chunk_count_ * kSlots;
  stats.tombstones = tombstones_;
  stats.free_rows = static_cast<i64>(free_.size());
  stats.candidates = admission_ == nullptr ? 0 : admission_->candidates();
  stats.evicted = evicted_;
  stats.erased = erased_;
  stats.rejected = rejected_;
  stats.log_entries = log_.size();
  const IndexView index = this->index();
  for (u64 at = 0; at < chunk_count_; ++at) {
    const Chunk& chunk = index.chunks[at];
    for (int slot = 0; slot < kSlots; ++slot) {
      if (chunk.tag[slot] <= kTombstone) continue;
      ++stats.probes[index_chunks_passed(index, chunk.key[slot], at)];
    }
  }
  return stats;
}

// The part of `check` that concerns this file.
std::string Table::check_policies() const {
  const RowsView view = this->rows();
  if (size_ > config_.max_rows) {
    return std::to_string(size_) + " keys are more than max_rows, " +
           std::to_string(config_.max_rows);
  }
  for (i64 row = 0; row < row_limit_; ++row) {
    if (!is_live(static_cast<u64>(row))) continue;
    const std::string where = "row " + std::to_string(row) + ": ";
    const u32 number = static_cast<u32>(row);
    if (row_version(view, number) > version_) {
      return where + "version " + std::to_string(row_version(view, number)) +
             " is above the table's " + std::to_string(version_);
    }
    if (row_last_step(view, number) > newest_step_) {
      return where + "last step " + std::to_string(row_last_step(view, number)) +
             " is above the newest, " + std::to_string(newest_step_);
    }
    if (given_back_[number >> layout_.slab_shift]) {
      return where + "live, but its slab was given back";
    }
  }
  if (std::count(given_back_.begin(), given_back_.end(), true) != given_back_count_) {
    return "the count of given-back slabs is not " + std::to_string(given_back_count_);
  }
  u32 last = log_.begin();
  for (i64 i = 0; i < log_.size(); ++i) {
    if (log_[i].version < last || log_[i].version > version_) {
      return "eviction log: entry " + std::to_string(i) + " has version " +
             std::to_string(log_[i].version) + " after " + std::to_string(last);
    }
    last = log_[i].version;
  }
  if (admission_ == nullptr) return {};
  for (i64 row = 0; row < row_limit_; ++row) {
    if (!is_live(static_cast<u64>(row))) continue;
    const i64 key = row_key(view, static_cast<u32>(row));
    if (admission_->is_candidate(key)) {
      return "key " + std::to_string(key) + " is in the table and a candidate for it";
    }
  }
  const std::string broken = admission_->check();
  return broken.empty() ? broken : "admission: " + broken;
}

}  // namespace emberline
