// All rows of a table in row order, in blocks of 64 whose liveness is one word, on all threads.
#pragma once

#include <algorithm>
#include <vector>

#include "rows.cuh"
#include "select.cuh"
#include "threads.hpp"

namespace emberline {

// Up to 64 rows of one slab: their scores and keys, and which of them count.
struct RowBlock {
  u32* scores;
  const i64* keys;
  u64 rows;   // one bit per row
  i64 first;  // the number of row 0

  template <class Visit>
  void each(Visit visit) const {
    if (rows == ~u64{0}) {  // most blocks: a plain loop, which the compiler vectorizes
      for (int i = 0; i < 64; ++i) visit(i);
      return;
    }
    for (u64 left = rows; left != 0; left &= left - 1) visit(__builtin_ctzll(left));
  }

  // Those rows of the block for which `chosen` is true, ascending. Without a branch on it: half of
  // a million rows may share one score, and a mispredicted branch costs more than the row.
  template <class Chosen>
  int choose(Chosen chosen, int (&found)[64]) const {
    int count = 0;
    each([&](int i) {
      found[count] = i;
      count += chosen(i) ? 1 : 0;
    });
    return count;
  }
};

// The live rows of a table but for those of `skip` (one bit per row, or null).
struct RowScan {
  RowsView view;
  const u64* live;
  const u64* skip;
  i64 row_limit;
  i64 score_offset;
  const Threads* threads;

  i64 parts() const { return threads->parts(row_limit); }

  // Call visit(block, part, worker) for all blocks. A part's come in row order, and parts lie in
  // row order; see Threads::run.
  template <class Visit>
  void parallel(Visit visit) const {
    const i64 parts = this->parts();
    const i64 words = (row_limit + 63) / 64;
    threads->run(parts, [&](i64 part, int worker) {
      const i64 end = std::min(row_limit, words * (part + 1) / parts * 64);
      blocks(words * part / parts * 64, end,
             [&](const RowBlock& block) { visit(block, part, worker); });
    });
  }

  // How many scores fulfil `chosen(score)`.
  template <class Chosen>
  i64 count(Chosen chosen) const {
    std::vector<i64> counts(static_cast<std::size_t>(parts()));
    parallel([&](const RowBlock& block, i64 part, int) {
      i64 found = 0;
      block.each([&](int i) { found += chosen(block.scores[i]) ? 1 : 0; });
      counts[static_cast<std::size_t>(part)] += found;
    });
    i64 all = 0;
    for (const i64 found : counts) all += found;
    return all;
  }

  // Write the numbers of the rows that fulfil `chosen(score, key)`, ascending.
  template <class Chosen>
  void collect(Chosen chosen, u32* out) const {
    blocks(0, row_limit, [&](const RowBlock& block) {
      int found[64];
      const int count = block.choose(
          [&](int i) { return chosen(block.scores[i], block.keys[i]); }, found);
      for (int i = 0; i < count; ++i) *out++ = static_cast<u32>(block.first + found[i]);
    });
  }

 private:
  template <class Visit>
  void blocks(i64 begin, i64 end, Visit visit) const {
    const i64 slab_rows = i64{1} << view.layout.slab_shift;
    const i64 step = std::min<i64>(64, slab_rows);
    for (i64 first = begin; first < end; first += step) {
      u64 rows = live[first / 64];
      if (skip != nullptr) rows &= ~skip[first / 64];
      if (step < 64) rows = rows >> (first % 64) & ((u64{1} << step) - 1);
      if (rows == 0) continue;
      u8* slab = row_slab(view, static_cast<u32>(first));
      const i64 inside = row_in_slab(view, static_cast<u32>(first));
      visit(RowBlock{reinterpret_cast<u32*>(slab + score_offset) + inside,
                     reinterpret_cast<const i64*>(slab + view.layout.key_offset) + inside, rows,
                     first});
    }
  }
};

// The last of the `count` rows that go first; `count` is 1 to the rows of the scan. Throws
// std::bad_alloc.
EvictionCut select_cut(const RowScan& scan, i64 count);

}  // namespace emberline
