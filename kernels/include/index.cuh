// The key index: 128-byte chunks of 8 slots, key -> row number.
//
// Invariant that ends a miss early: a chunk that was once full never shows an EMPTY slot again
// before a rebuild. So a probe that meets an EMPTY slot in a chunk has seen every chunk in which
// the key could be. `index_erase` keeps it by writing TOMBSTONE into a chunk without EMPTY.
#pragma once

#include "hash.cuh"

namespace emberline {

constexpr int kSlots = 8;
constexpr u64 kUsedPerChunk = 6;  // load factor 0.75: live + tombstones <= 6 of 8 slots

struct alignas(128) Chunk {
  u16 tag[kSlots];  // the first 64 bytes hold all tags, all rows and two keys
  u32 row[kSlots];
  i64 key[kSlots];
  u64 spare[2];
};
static_assert(sizeof(Chunk) == 128, "a chunk is two 64-byte lines");

// A chunk array of `mask + 1` chunks, a power of two; zero bytes are an empty index.
struct IndexView {
  Chunk* chunks;
  u64 mask;
  u64 hash_mask;
};

// One bit per slot whose tag is `tag`: bit 16 * (slot % 4) + slot / 4. Two 64-bit words hold the
// eight tags; a lane of 16 bits is zero exactly where adding 0x7FFF to its low 15 bits carries
// nothing into a top bit that is clear too.
EMBERLINE_HD u64 tag_matches(const Chunk& chunk, u16 tag) {
  constexpr u64 low15 = 0x7FFF7FFF7FFF7FFFull;
  const u64 wanted = static_cast<u64>(tag) * 0x0001000100010001ull;
  u64 word[2];
  memcpy(word, chunk.tag, sizeof(word));
  const u64 a = word[0] ^ wanted;
  const u64 b = word[1] ^ wanted;
  const u64 zero_a = ~(((a & low15) + low15) | a | low15);
  const u64 zero_b = ~(((b & low15) + low15) | b | low15);
  return (zero_a >> 15) | (zero_b >> 14);
}

// The slot of the lowest bit of a non-zero `tag_matches`.
EMBERLINE_HD int first_slot(u64 matches) {
#if defined(__CUDA_ARCH__)
  const int bit = __ffsll(static_cast<i64>(matches)) - 1;
#else
  const int bit = __builtin_ctzll(matches);
#endif
  return (bit >> 4) + (bit & 1) * 4;
}

EMBERLINE_HD void index_prefetch(const IndexView& index, u64 hash) {
  const Chunk* chunk = index.chunks + (hash & index.mask);
  prefetch(chunk);
  prefetch(chunk->key + 2);  // the second line
}

// The first two chunks of the probe sequence.
EMBERLINE_HD void index_prefetch_two(const IndexView& index, u64 hash) {
  index_prefetch(index, hash);
  index_prefetch(index, hash + hash_stride(hash));
}

// Where a key's live slot is; `slot` < 0: absent.
struct IndexPosition {
  u64 chunk;
  int slot;
};

EMBERLINE_HD IndexPosition index_locate(const IndexView& index, i64 key, u64 hash) {
  const u16 tag = hash_tag(hash);
  const u64 stride = hash_stride(hash);
  u64 at = hash & index.mask;
  for (u64 probe = 0; probe <= index.mask; ++probe) {
    const Chunk& chunk = index.chunks[at];
    for (u64 matches = tag_matches(chunk, tag); matches != 0; matches &= matches - 1) {
      const int slot = first_slot(matches);
      if (chunk.key[slot] == key) return {at, slot};
    }
    if (tag_matches(chunk, kEmpty) != 0) return {0, -1};
    at = (at + stride) & index.mask;
  }
  return {0, -1};
}

// The key's row number, or kNoRow.
EMBERLINE_HD u32 index_find(const IndexView& index, i64 key, u64 hash) {
  const IndexPosition position = index_locate(index, key, hash);
  return position.slot < 0 ? kNoRow : index.chunks[position.chunk].row[position.slot];
}

constexpr int kProbeBuckets = 16;

// How many chunks a look-up passes before it finds `key` in chunk `found`, at most
// kProbeBuckets - 1: longer probe sequences are told apart by none.
EMBERLINE_HD int index_chunks_passed(const IndexView& index, i64 key, u64 found) {
  const u64 hash = hash_key(key, index.hash_mask);
  u64 at = hash & index.mask;
  int passed = 0;
  for (; at != found && passed < kProbeBuckets - 1; ++passed) {
    at = (at + hash_stride(hash)) & index.mask;
  }
  return passed;
}

enum class SlotUse : int { full = -1, empty = 0, tombstone = 1 };

// Insert a key that is known to be absent, at the first free slot of its probe sequence.
// Returns what the slot was before; `full` (nothing written) cannot happen below the load factor.
EMBERLINE_HD SlotUse index_insert_absent(const IndexView& index, i64 key, u64 hash, u32 row) {
  const u64 stride = hash_stride(hash);
  u64 at = hash & index.mask;
  for (u64 probe = 0; probe <= index.mask; ++probe) {
    Chunk& chunk = index.chunks[at];
    const u64 free = tag_matches(chunk, kEmpty) | tag_matches(chunk, kTombstone);
    if (free != 0) {
      const int slot = first_slot(free);
      const SlotUse use = chunk.tag[slot] == kEmpty ? SlotUse::empty : SlotUse::tombstone;
      chunk.row[slot] = row;
      chunk.key[slot] = key;
      chunk.tag[slot] = hash_tag(hash);
      return use;
    }
    at = (at + stride) & index.mask;
  }
  return SlotUse::full;
}

// The same, but in the home chunk only: `full` where that has no free slot. Threads that own
// different home chunks may do so at the same time.
EMBERLINE_HD SlotUse index_insert_home(const IndexView& index, i64 key, u64 hash, u32 row) {
  return index_insert_absent({index.chunks + (hash & index.mask), 0, index.hash_mask}, key, hash,
                             row);
}

// Free a live slot. Returns what it became.
EMBERLINE_HD SlotUse index_erase(const IndexView& index, const IndexPosition& position) {
  Chunk& chunk = index.chunks[position.chunk];
  const bool open = tag_matches(chunk, kEmpty) != 0;
  chunk.tag[position.slot] = open ? kEmpty : kTombstone;
  return open ? SlotUse::empty : SlotUse::tombstone;
}

}  // namespace emberline
