// Keys seen, but not often enough yet, with their exact counts: linear probing.
#pragma once

#include <algorithm>
#include <vector>

#include "hash.cuh"

namespace emberline {

class Candidates {
 public:
  struct Slot {
    i64 key;
    u32 count;  // 0: free
  };

  explicit Candidates(u64 hash_mask) : hash_mask_(hash_mask) {}

  // 0: not a candidate.
  u32 count(i64 key) const { return slots_.empty() ? 0 : slots_[place(key)].count; }

  // Make room for `more` new keys, so that `set` cannot fail. Throws std::bad_alloc.
  void reserve(i64 more) {
    const std::size_t needed = size_ + static_cast<std::size_t>(more);
    std::size_t slots = std::max<std::size_t>(slots_.size(), 16);
    while (slots / 4 * 3 < needed) slots *= 2;
    if (slots != slots_.size() && needed != 0) rehash(slots, [](u32 count) { return count; });
  }

  // `count` is at least 1.
  void set(i64 key, u32 count) {
    Slot& slot = slots_[place(key)];
    size_ += slot.count == 0;
    slot = {key, count};
  }

  // Forget a key; those that probed past it move up, so no tombstones are needed.
  void erase(i64 key) {
    if (slots_.empty()) return;
    std::size_t hole = place(key);
    if (slots_[hole].count == 0) return;
    --size_;
    for (std::size_t at = next(hole); slots_[at].count != 0; at = next(at)) {
      const std::size_t home = this->home(slots_[at].key);
      if (((at - home) & mask()) < ((at - hole) & mask())) continue;  // its home is after the hole
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole].count = 0;
  }

  // Replace each count by `update(count)`; those that become 0 are forgotten. Throws
  // std::bad_alloc, before any change.
  template <class Update>
  void update(Update update) {
    std::size_t kept = 0;
    for (const Slot& slot : slots_) kept += slot.count != 0 && update(slot.count) != 0;
    std::size_t slots = 16;
    while (slots / 4 * 3 < kept) slots *= 2;
    if (!slots_.empty()) rehash(slots, update);
  }

  void clear() {
    slots_ = {};
    size_ = 0;
  }

  template <class Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.count != 0) visit(slot.key, slot.count);
    }
  }

  i64 size() const { return static_cast<i64>(size_); }
  i64 memory_bytes() const { return static_cast<i64>(slots_.capacity() * sizeof(Slot)); }

 private:
  std::size_t mask() const { return slots_.size() - 1; }
  std::size_t next(std::size_t at) const { return (at + 1) & mask(); }
  std::size_t home(i64 key) const { return hash_key(key, hash_mask_) & mask(); }

  // The key's slot, or the free one where it would go.
  std::size_t place(i64 key) const {
    std::size_t at = home(key);
    while (slots_[at].count != 0 && slots_[at].key != key) at = next(at);
    return at;
  }

  template <class Update>
  void rehash(std::size_t slots, Update update) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    size_ = 0;
    for (const Slot& slot : old) {
      const u32 count = slot.count == 0 ? 0 : update(slot.count);
      if (count != 0) set(slot.key, count);
    }
  }

  u64 hash_mask_;
  std::vector<Slot> slots_;  // none, or a power of two
  std::size_t size_ = 0;
};

}  // namespace emberline
