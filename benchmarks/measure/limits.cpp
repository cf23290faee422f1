// What the memory of this machine gives: the ceilings beside which a table's figures stand.
//
// Built at run time by limits.py. Each function returns seconds. Memory comes on huge pages
// where `huge` says so, as the table's own does.
#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using u64 = std::uint64_t;

u64 mix(u64 x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// A number below n from a random word, without a division.
u64 below(u64 word, u64 n) {
  return static_cast<u64>((static_cast<unsigned __int128>(word) * n) >> 64);
}

template <class Work>
double timed(int threads, Work work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; ++t) pool.emplace_back(work, t);
  work(0);
  for (std::thread& thread : pool) thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

volatile u64 sink;  // keeps the reads from being optimized away

}  // namespace

extern "C" {

void* limits_map(u64 bytes, int huge) {
  constexpr u64 kHuge = u64{2} << 20;
  bytes = (bytes + kHuge - 1) / kHuge * kHuge;
  void* at = mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
  if (at == MAP_FAILED) return nullptr;
  // Two MiB to spare: the huge pages that lie inside hold all but the ends.
  madvise(at, bytes + kHuge, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  std::memset(at, 1, bytes + kHuge);
  return at;
}

void limits_unmap(void* at, u64 bytes) {
  constexpr u64 kHuge = u64{2} << 20;
  munmap(at, (bytes + kHuge - 1) / kHuge * kHuge + kHuge);
}

// `count` reads of independent random 64-byte lines.
double limits_random_lines(const u64* data, u64 bytes, u64 count, int threads, u64 seed) {
  const u64 lines = bytes / 64;
  return timed(threads, [=](int t) {
    u64 sum = 0;
    const u64 end = count * (t + 1) / threads;
    for (u64 i = count * t / threads; i < end; ++i) {
      sum += data[below(mix(seed + i * 0x9E3779B97F4A7C15ull), lines) * 8];
    }
    sink = sum;
  });
}

// The memory accesses of `count` look-ups and nothing else: both lines of a random 128-byte
// chunk of `index`, then a random row of `rows`, copied to a contiguous output.
double limits_random_rows(const unsigned char* index, u64 index_bytes, const unsigned char* rows,
                          u64 rows_bytes, u64 row_bytes, unsigned char* out, u64 out_rows,
                          u64 count, int threads, u64 seed) {
  const u64 chunks = index_bytes / 128;
  const u64 row_count = rows_bytes / row_bytes;
  return timed(threads, [=](int t) {
    constexpr u64 kChunkAhead = 32;
    constexpr u64 kRowAhead = 16;
    const u64 begin = count * t / threads;
    const u64 end = count * (t + 1) / threads;
    u64 sum = 0;
    for (u64 i = begin; i < end; ++i) {
      const unsigned char* chunk =
          index + below(mix(seed + (i + kChunkAhead) * 0x9E3779B97F4A7C15ull), chunks) * 128;
      __builtin_prefetch(chunk);
      __builtin_prefetch(chunk + 64);
      const unsigned char* next =
          rows + below(mix(~seed - (i + kRowAhead) * 0x9E3779B97F4A7C15ull), row_count) * row_bytes;
      for (u64 at = 0; at < row_bytes; at += 64) __builtin_prefetch(next + at);
      chunk = index + below(mix(seed + i * 0x9E3779B97F4A7C15ull), chunks) * 128;
      sum += chunk[0] + chunk[64];
      const unsigned char* row =
          rows + below(mix(~seed - i * 0x9E3779B97F4A7C15ull), row_count) * row_bytes;
      std::memcpy(out + i % out_rows * row_bytes, row, row_bytes);
    }
    sink = sum;
  });
}

// memcpy of `bytes`, each thread its part.
double limits_copy(unsigned char* to, const unsigned char* from, u64 bytes, int threads) {
  return timed(threads, [=](int t) {
    const u64 begin = bytes * t / threads;
    std::memcpy(to + begin, from + begin, bytes * (t + 1) / threads - begin);
  });
}

}  // extern "C"
