// The absent keys of a batch: partitioned by hash, each key's first occurrence found.
//
// First occurrences become row numbers (their rank), so they must not depend on how a batch is
// worked on. Equal keys fall into one partition, in the order of their positions: partitions are
// worked on at the same time, and each finds the first of equal keys without looking at others.
#pragma once

#include <cstring>
#include <vector>

#include "hash.cuh"
#include "pages.hpp"

namespace emberline {

constexpr int kPartitionBits = 6;
constexpr i64 kPartitions = i64{1} << kPartitionBits;

// Keys with the same home chunk are in the same partition, as long as there are at least as many
// chunks as partitions.
inline i64 key_partition(u64 hash) { return static_cast<i64>(hash & (kPartitions - 1)); }

struct AbsentKey {
  i64 key;
  i64 position;  // in the batch; then what the caller puts here
};

class DistinctKeys {
 public:
  // Begin with a batch that is cut into `parts` ranges. Throws std::bad_alloc.
  void start(i64 parts) { counts_.assign(static_cast<std::size_t>(parts * kPartitions), 0); }

  // How many absent keys the range `part` has in each partition; the caller counts.
  i64* counts(i64 part) { return counts_.data() + part * kPartitions; }

  // All ranges are counted: lay the partitions out. Returns how many keys are absent. Throws
  // std::bad_alloc.
  i64 layout(i64 parts) {
    i64 begin = 0;
    i64 slots = 0;
    for (i64 partition = 0; partition < kPartitions; ++partition) {
      begin_[partition] = begin;
      for (i64 part = 0; part < parts; ++part) {
        i64& count = counts_[static_cast<std::size_t>(part * kPartitions + partition)];
        const i64 next = begin + count;
        count = begin;
        begin = next;
      }
      size_[partition] = begin - begin_[partition];
      slots_begin_[partition] = slots;
      slot_mask_[partition] = slot_count(size_[partition]) - 1;
      slots += size_[partition] == 0 ? 0 : slot_mask_[partition] + 1;
    }
    keys_.ensure(begin);
    slots_.ensure(slots);
    return begin;
  }

  // Put an absent key of range `part` in; positions of a range come in ascending order.
  void add(i64 part, i64 key, u64 hash, i64 position) {
    keys_.data()[counts(part)[key_partition(hash)]++] = {key, position};
  }

  // Keep the first of equal keys of a partition, in order; call repeated(position, first
  // position) for each other one. Linear probing, at most half full.
  template <class Repeated>
  void keep_first(i64 partition, u64 hash_mask, const Repeated& repeated) {
    AbsentKey* keys = this->keys(partition);
    if (size_[partition] == 0) return;
    u32* slots = slots_.data() + slots_begin_[partition];
    const u64 mask = static_cast<u64>(slot_mask_[partition]);
    std::memset(slots, 0, (mask + 1) * sizeof(u32));
    i64 kept = 0;
    for (i64 i = 0; i < size_[partition]; ++i) {
      const AbsentKey entry = keys[i];
      u64 at = (hash_key(entry.key, hash_mask) >> kPartitionBits) & mask;
      while (slots[at] != 0 && keys[slots[at] - 1].key != entry.key) at = (at + 1) & mask;
      if (slots[at] != 0) {
        repeated(entry.position, keys[slots[at] - 1].position);
      } else {
        keys[kept] = entry;
        slots[at] = static_cast<u32>(++kept);
      }
    }
    size_[partition] = kept;
  }

  AbsentKey* keys(i64 partition) { return keys_.data() + begin_[partition]; }
  i64 size(i64 partition) const { return size_[partition]; }
  void resize(i64 partition, i64 size) { size_[partition] = size; }

  void trim(i64 bytes) {
    keys_.trim(bytes);
    slots_.trim(bytes);
  }

  i64 memory_bytes() const {
    return keys_.memory_bytes() + slots_.memory_bytes() +
           static_cast<i64>(counts_.capacity() * sizeof(i64));
  }

 private:
  static i64 slot_count(i64 keys) {
    i64 slots = 16;
    while (slots < 2 * keys) slots *= 2;
    return slots;
  }

  std::vector<i64> counts_;  // then: where the range's next key of the partition goes
  Scratch<AbsentKey> keys_;
  Scratch<u32> slots_;  // index among the partition's keys + 1; 0: free
  i64 begin_[kPartitions] = {};
  i64 size_[kPartitions] = {};
  i64 slots_begin_[kPartitions] = {};
  i64 slot_mask_[kPartitions] = {};
};

}  // namespace emberline
