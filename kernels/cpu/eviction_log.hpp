// Which keys left the table, and in which version: what a delta needs to say besides the rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "platform.cuh"

namespace emberline {

// A ring of the last `capacity` removals; what it no longer knows, it says: `begin()`.
class EvictionLog {
 public:
  struct Entry {
    i64 key;
    u32 version;
  };

  void set_capacity(i64 capacity) { capacity_ = static_cast<std::size_t>(capacity); }

  // The log is complete for every version above this one.
  u32 begin() const { return begin_; }

  // Make room for `more` entries, so that `append` cannot fail. Throws std::bad_alloc.
  void reserve(i64 more) {
    const std::size_t needed = std::min(count_ + static_cast<std::size_t>(more), capacity_);
    if (needed <= slots_) return;
    const std::size_t slots = std::min(std::max(needed, 2 * slots_), capacity_);
    std::unique_ptr<Entry[]> ring(new Entry[slots]);  // its pages are not touched before use
    for (std::size_t i = 0; i < count_; ++i) ring[i] = (*this)[static_cast<i64>(i)];
    ring_ = std::move(ring);
    slots_ = slots;
    oldest_ = 0;
  }

  // After `reserve`. Versions never fall.
  void append(i64 key, u32 version) {
    if (capacity_ == 0) {
      begin_ = version;
      return;
    }
    if (count_ == capacity_) {
      begin_ = ring_[oldest_].version;
      oldest_ = oldest_ + 1 == slots_ ? 0 : oldest_ + 1;
      --count_;
    }
    std::size_t at = oldest_ + count_++;
    if (at >= slots_) at -= slots_;
    ring_[at] = {key, version};
  }

  // The i-th oldest entry.
  const Entry& operator[](i64 i) const {
    const std::size_t at = oldest_ + static_cast<std::size_t>(i);
    return ring_[at < slots_ ? at : at - slots_];
  }

  i64 size() const { return static_cast<i64>(count_); }
  i64 memory_bytes() const { return static_cast<i64>(slots_ * sizeof(Entry)); }

 private:
  std::unique_ptr<Entry[]> ring_;
  std::size_t slots_ = 0;
  std::size_t oldest_ = 0;
  std::size_t count_ = 0;
  std::size_t capacity_ = std::size_t{1} << 20;
  u32 begin_ = 0;
};

}  // namespace emberline
