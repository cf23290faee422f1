// Zeroed memory straight from the kernel, given back when it goes.
//
// malloc would keep large freed blocks, and a fresh mapping is zero without touching a page:
// memory that a table reserves costs nothing before it is used.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "platform.cuh"

namespace emberline {

class Pages {
 public:
  // What `bytes` take in whole pages.
  static std::int64_t rounded(std::size_t bytes) {
    return static_cast<std::int64_t>((bytes + kPage - 1) / kPage * kPage);
  }

  Pages() = default;

  // Map at least `bytes`. From 4 MiB on, aligned to 2 MiB and on huge pages where the system has
  // them, as random lines then come two to three times as fast. Throws std::bad_alloc.
  explicit Pages(std::size_t bytes) : size_((bytes + kPage - 1) / kPage * kPage) {
    if (size_ == 0) return;
    const bool huge = size_ >= 2 * kHuge;
    const std::size_t mapped = huge ? size_ + kHuge : size_;
    void* at =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<unsigned char*>(at);
    if (!huge) return;
    const std::size_t head = (kHuge - reinterpret_cast<std::uintptr_t>(at) % kHuge) % kHuge;
    if (head != 0) munmap(data_, head);
    if (head != kHuge) munmap(data_ + head + size_, kHuge - head);
    data_ += head;
    madvise(data_, size_, MADV_HUGEPAGE);  // a hint: refusal is fine
  }

  Pages(Pages&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  ~Pages() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  // Unmap all but the first `bytes`, rounded up to whole pages.
  void truncate(std::size_t bytes) {
    const std::size_t kept = (bytes + kPage - 1) / kPage * kPage;
    if (kept >= size_) return;
    munmap(data_ + kept, size_ - kept);
    if (kept == 0) data_ = nullptr;
    size_ = kept;
  }

  unsigned char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kHuge = std::size_t{2} << 20;
  friend void give_back(unsigned char* begin, unsigned char* end);

  unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

// Let the system have the whole pages between two addresses; they read as zeros from now on.
inline void give_back(unsigned char* begin, unsigned char* end) {
  const auto page = static_cast<std::uintptr_t>(Pages::kPage);
  const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const auto last = reinterpret_cast<std::uintptr_t>(end) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

// Work space above this is given back after a call: one huge batch must not double a table's size
// for good.
constexpr i64 kKeptScratchBytes = i64{32} << 20;

// Work space for plain values, kept between calls. What a larger `ensure` returns is undefined;
// std::vector would write zeros first, on the calling thread and on small pages.
template <class T>
class Scratch {
 public:
  // Room for `count` values. Throws std::bad_alloc, and then keeps what it had.
  T* ensure(i64 count) {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    if (bytes > pages_.size()) {
      Pages larger(bytes + bytes / 8);
      pages_ = std::move(larger);
    }
    return data();
  }

  // Give the memory back if it is more than `bytes`.
  void trim(i64 bytes) {
    if (static_cast<i64>(pages_.size()) > bytes) pages_ = Pages();
  }

  T* data() const { return reinterpret_cast<T*>(pages_.data()); }
  i64 memory_bytes() const { return static_cast<i64>(pages_.size()); }

 private:
  Pages pages_;
};

}  // namespace emberline
