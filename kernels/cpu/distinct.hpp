// Distinct keys of a batch, numbered by their first position: a scratch open-addressing table.
//
// The numbers become row numbers, so they must not depend on how a batch is worked on: the rank
// of the first occurrence does not.
#pragma once

#include <vector>

#include "hash.cuh"

namespace emberline {

class DistinctKeys {
 public:
  // Forget all keys and make room for `count` of them. Throws std::bad_alloc.
  void start(i64 count, u64 hash_mask) {
    u64 slots = 16;
    while (slots < 2 * static_cast<u64>(count)) slots *= 2;
    keys_.clear();
    slots_.assign(slots, 0);
    mask_ = slots - 1;
    hash_mask_ = hash_mask;
  }

  // The key's number, a new one on its first call. Linear probing, at most half full.
  u32 number(i64 key) {
    u64 at = hash_key(key, hash_mask_) & mask_;
    while (slots_[at] != 0) {
      if (keys_[slots_[at] - 1] == key) return slots_[at] - 1;
      at = (at + 1) & mask_;
    }
    keys_.push_back(key);
    slots_[at] = static_cast<u32>(keys_.size());
    return slots_[at] - 1;
  }

  // In the order of their numbers.
  const std::vector<i64>& keys() const { return keys_; }

  i64 memory_bytes() const {
    return static_cast<i64>(slots_.capacity() * 4 + keys_.capacity() * 8);
  }

 private:
  std::vector<u32> slots_;  // number + 1; 0: free
  std::vector<i64> keys_;
  u64 mask_ = 0;
  u64 hash_mask_ = 0;
};

}  // namespace emberline
