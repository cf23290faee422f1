// The exact cut of an eviction: histograms that narrow, each counted on all threads.
#include <algorithm>
#include <vector>

#include "row_scan.hpp"

namespace emberline {

namespace {

constexpr u64 kFinish = 65536;  // so few values are sorted out directly

// Counts of equal values in a row would wait for each other: they go to histograms in turn.
constexpr u32 kLanes = 4;

struct Selected {
  u64 value;
  u64 rank;   // among equal values
  u64 equal;  // how many values equal it
};

struct alignas(64) Bounds {  // a cache line for each worker
  u64 low = ~u64{0};
  u64 high = 0;
};

u64 nth_of(std::vector<u64>& values, u64 rank) {
  const auto wanted = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), wanted, values.end());
  return *wanted;
}

// Selection among the values of which `each` calls visit(value, place, worker) for every one;
// `place` counts up. All that is kept for a worker is summed or sorted afterwards, so nothing
// depends on which worker saw a value.
template <class Each>
class Selection {
 public:
  Selection(const Each& each, int workers)
      : each_(each), workers_(static_cast<std::size_t>(workers)) {}

  // The value of rank `rank` (from 0) among those in [low, high], which all are.
  Selected find(u64 low, u64 high, u64 rank) {
    std::vector<u64> histogram(kSelectBuckets);
    while (true) {
      const int shift = select_shift(low, high);
      count(low, high, shift, &histogram);
      const u32 bucket = select_bucket_of_rank(histogram.data(), &rank);
      low += static_cast<u64>(bucket) << shift;
      high = low + std::min(high - low, (u64{1} << shift) - 1);
      if (shift == 0) return {low, rank, histogram[bucket]};
      if (histogram[bucket] > kFinish) continue;
      std::vector<u64> last = values(low, high);
      const u64 value = nth_of(last, rank);
      const auto below = std::count_if(last.begin(), last.end(), [=](u64 v) { return v < value; });
      const auto equal = std::count(last.begin(), last.end(), value);
      return {value, rank - static_cast<u64>(below), static_cast<u64>(equal)};
    }
  }

  std::vector<u64> values(u64 low, u64 high) {
    std::vector<std::vector<u64>> found(workers_);
    each_([&](u64 value, int, int worker) {
      if (value - low <= high - low) found[static_cast<std::size_t>(worker)].push_back(value);
    });
    for (std::size_t worker = 1; worker < workers_; ++worker) {
      found[0].insert(found[0].end(), found[worker].begin(), found[worker].end());
    }
    return std::move(found[0]);
  }

 private:
  void count(u64 low, u64 high, int shift, std::vector<u64>* histogram) {
    lanes_.assign(workers_ * kLanes * kSelectBuckets, 0);
    u32* lanes = lanes_.data();
    each_([=](u64 value, int place, int worker) {
      if (value - low > high - low) return;
      const u32 bucket = static_cast<u32>(worker) * kSelectBuckets +
                         select_bucket(value, low, shift);
      ++lanes[kLanes * bucket + static_cast<u32>(place) % kLanes];
    });
    for (u32 bucket = 0; bucket < kSelectBuckets; ++bucket) {
      u64& sum = (*histogram)[bucket] = 0;
      for (std::size_t worker = 0; worker < workers_; ++worker) {
        const u32* counts = lanes + kLanes * (worker * kSelectBuckets + bucket);
        sum += u64{counts[0]} + counts[1] + counts[2] + counts[3];
      }
    }
  }

  const Each& each_;
  std::size_t workers_;
  std::vector<u32> lanes_;
};

Bounds merged(const std::vector<Bounds>& bounds) {
  Bounds all;
  for (const Bounds& each : bounds) {
    all.low = std::min(all.low, each.low);
    all.high = std::max(all.high, each.high);
  }
  return all;
}

}  // namespace

EvictionCut select_cut(const RowScan& scan, i64 count) {
  const int workers = scan.threads->count();
  std::vector<Bounds> bounds(static_cast<std::size_t>(workers));
  scan.parallel([&](const RowBlock& block, i64, int worker) {
    u32 low = ~u32{0};  // not the worker's own: a captured variable is written in each turn
    u32 high = 0;
    block.each([&](int i) {
      low = std::min(low, block.scores[i]);
      high = std::max(high, block.scores[i]);
    });
    Bounds& own = bounds[static_cast<std::size_t>(worker)];
    own = {std::min<u64>(own.low, low), std::max<u64>(own.high, high)};
  });
  const auto each_score = [&](const auto& visit) {
    scan.parallel([&](const RowBlock& block, i64, int worker) {
      block.each([&](int i) { visit(static_cast<u64>(block.scores[i]), i, worker); });
    });
  };
  const Bounds all = merged(bounds);
  const Selected score =
      Selection(each_score, workers).find(all.low, all.high, static_cast<u64>(count) - 1);
  EvictionCut cut{static_cast<u32>(score.value), ~u64{0}};
  if (score.rank + 1 == score.equal) return cut;  // all ties go

  const auto each_tie = [&](const auto& visit) {
    scan.parallel([&](const RowBlock& block, i64, int worker) {
      int tied[64];
      const int ties = block.choose([&](int i) { return block.scores[i] == cut.score; }, tied);
      for (int i = 0; i < ties; ++i) visit(eviction_key_order(block.keys[tied[i]]), i, worker);
    });
  };
  Selection ties(each_tie, workers);
  if (score.equal <= kFinish) {
    std::vector<u64> orders = ties.values(0, ~u64{0});
    cut.key_order = nth_of(orders, score.rank);
    return cut;
  }
  bounds.assign(bounds.size(), Bounds());
  each_tie([&](u64 order, int, int worker) {
    Bounds& own = bounds[static_cast<std::size_t>(worker)];
    own = {std::min(own.low, order), std::max(own.high, order)};
  });
  const Bounds ends = merged(bounds);
  cut.key_order = ties.find(ends.low, ends.high, score.rank).value;
  return cut;
}

}  // namespace emberline
