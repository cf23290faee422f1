// Open addressing over the words of a column's keys: which number has a key?
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "arrow_column.hpp"

namespace emberline::etl {

class KeyTable {
 public:
  static constexpr u32 EMPTY = 0xFFFFFFFF;
  static constexpr i64 MOST = EMPTY - 1;
  // Keys are hashed and their slots asked for by so many, so that cache misses overlap.
  static constexpr i64 BLOCK = 64;

  // Room for `keys` numbers to begin with; half of the slots stay free.
  explicit KeyTable(i64 keys = 0) {
    int bits = 4;
    while ((i64{1} << bits) < 2 * keys) ++bits;
    resize(bits);
  }

  i64 size() const { return size_; }

  // Calls use(row, number) for every row of `column` that is not null; the number of a key that is
  // not there is -1. `keys` is the column whose rows are in the table.
  template <class Use>
  void find(const Column& column, const Column& keys, Use use) const {
    blocks(column, [&](i64 row, u64 word, u64 hash) {
      const Slot& slot = slots_[place(word, hash, column, row, keys)];
      use(row, slot.row == EMPTY ? i64{-1} : i64{slot.number});
    });
  }

  // The same, but a key that is not there gets the next number.
  template <class Use>
  void number(const Column& column, Use use) {
    blocks(column, [&](i64 row, u64 word, u64 hash) {
      Slot* slot = &slots_[place(word, hash, column, row, column)];
      if (slot->row == EMPTY) {
        if (2 * (size_ + 1) > static_cast<i64>(slots_.size())) {
          grow();
          slot = &slots_[place(word, hash, column, row, column)];
        }
        *slot = {word, static_cast<u32>(row), static_cast<u32>(size_++)};
      }
      use(row, i64{slot->number});
    });
  }

 private:
  struct Slot {
    u64 word;
    u32 row = EMPTY;  // where the key stands first
    u32 number;
  };

  // The slot that holds the key, or the free one where it belongs.
  std::size_t place(u64 word, u64 hash, const Column& column, i64 row, const Column& keys) const {
    std::size_t i = hash >> shift_;
    while (slots_[i].row != EMPTY &&
           (slots_[i].word != word || !column.same(word, row, keys, slots_[i].row)))
      i = (i + 1) & (slots_.size() - 1);
    return i;
  }

  template <class Use>
  void blocks(const Column& column, Use use) const {
    std::array<u64, BLOCK> words, hashes;
    std::array<i64, BLOCK> rows;
    for (i64 begin = 0; begin < column.size(); begin += BLOCK) {
      const i64 end = std::min(begin + BLOCK, column.size());
      i64 count = 0;
      // Nulls come at random: a branch on each would be mispredicted.
      for (i64 row = begin; row < end; ++row) {
        rows[count] = row;
        count += column.valid(row);
      }
      for (i64 i = 0; i < count; ++i) {
        words[i] = column.word(rows[i]);
        hashes[i] = mixed(words[i]);
        __builtin_prefetch(&slots_[hashes[i] >> shift_]);
      }
      for (i64 i = 0; i < count; ++i) use(rows[i], words[i], hashes[i]);
    }
  }

  void resize(int bits) {
    shift_ = 64 - bits;
    slots_.assign(std::size_t{1} << bits, Slot{});
  }

  // Keys in the table differ, so they need not be compared to be placed anew.
  void grow() {
    const std::vector<Slot> old = std::move(slots_);
    resize(64 - shift_ + 1);
    for (const Slot& slot : old) {
      if (slot.row == EMPTY) continue;
      std::size_t i = mixed(slot.word) >> shift_;
      while (slots_[i].row != EMPTY) i = (i + 1) & (slots_.size() - 1);
      slots_[i] = slot;
    }
  }

  int shift_ = 0;
  i64 size_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace emberline::etl
