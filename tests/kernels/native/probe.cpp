// Run by test_native.py under AddressSanitizer and UBSan. Each case prints a line or more.
//
//   probe NAME    break one invariant of a sound table, print what check() says
//   probe fuzzN   many operations on a small table of rule N (see fuzz), print "sound"
//   probe levels  compare the initializers of all instruction sets, print each level
//   probe last-row  address the rows of the highest numbers, print "sound"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>

#include "config.hpp"

namespace emberline {

// Befriended by Table.
struct TableProbe {
  Table& table;

  Chunk* chunks() { return table.chunks(); }
  i64& key_of_row(u32 row) { return row_key(table.rows(), row); }

  // The first live slot of the index.
  IndexPosition live_slot() {
    for (u64 at = 0; at < table.chunk_count_; ++at) {
      for (int slot = 0; slot < kSlots; ++slot) {
        if (chunks()[at].tag[slot] > kTombstone) return {at, slot};
      }
    }
    std::abort();
  }

  // Break one invariant; false: no such case.
  bool break_invariant(const std::string& name) {
    const IndexPosition position = live_slot();
    Chunk& chunk = chunks()[position.chunk];
    if (name == "row-out-of-range") {
      chunk.row[position.slot] = 12345;
    } else if (name == "row-free") {
      chunk.row[position.slot] = table.free_.back();
    } else if (name == "key-differs") {
      key_of_row(chunk.row[position.slot]) += 1;
    } else if (name == "tag-wrong") {
      chunk.tag[position.slot] ^= 0x4000;
    } else if (name == "slot-lost") {
      chunk.tag[position.slot] = kEmpty;
    } else if (name == "tombstone-count") {
      ++table.tombstones_;
    } else if (name == "live-bit") {
      table.live_[0] ^= u64{1} << table.free_.back();
    } else if (name == "free-twice") {
      table.free_.push_back(table.free_.back());
    } else if (name == "free-out-of-range") {
      table.free_.back() = 12345;
    } else if (name == "free-lost") {
      table.free_.pop_back();
    } else if (name == "version-ahead") {
      row_version(table.rows(), 5) = table.version_ + 1;
    } else if (name == "step-ahead") {
      row_last_step(table.rows(), 5) = table.newest_step_ + 1;
    } else if (name == "given-back") {
      table.given_back_[0] = true;
    } else if (name == "given-back-count") {
      ++table.given_back_count_;
    } else if (name == "over-max-rows") {
      table.config_.max_rows = 36;
    } else if (name == "log-order") {
      table.log_.reserve(1);
      table.log_.append(1, table.version_ + 1);
    } else if (name == "live-candidate") {
      table.admission_->set_state({{5000}, {1}, {}, 0});
    } else if (name == "candidate-count") {
      table.admission_->set_state({{1}, {99}, {}, 0});
    } else {
      return false;
    }
    return true;
  }
};

}  // namespace emberline

using namespace emberline;

namespace {

// `rule` 0: all keys come in; 1 to 3: each kind of admission, and eviction when full.
int fuzz(int rule) {
  std::srand(static_cast<unsigned>(rule) + 1);
  TableConfig settings = small_config(0x3F, 3);
  settings.row_type = static_cast<RowType>(rule % 3);
  if (rule > 0) settings.max_rows = 120;
  Table table(settings);
  if (rule > 0) {
    table.set_policy({true, static_cast<Score>(rule % 2), 37});
    table.set_admission({static_cast<AdmissionKind>(rule - 1), 3, 50, 2, true, 9});
  }
  for (int round = 0; round < 3000; ++round) {
    const i64 count = std::rand() % 50;
    std::vector<i64> keys(static_cast<std::size_t>(count));
    std::vector<i64> rows(keys.size());
    for (i64& key : keys) key = std::rand() % 400 - 200;
    const std::size_t floats = static_cast<std::size_t>(count * 5);
    std::vector<float> values(floats, 0.5f);
    switch (std::rand() % 11) {
      case 0: table.erase(keys.data(), count); break;
      case 1: table.lookup(keys.data(), count, true, {values.data(), 5}); break;
      case 2: table.upsert({keys.data(), count, {values.data(), 5}, nullptr, nullptr, nullptr});
        break;
      case 3: {
        table.find(keys.data(), count, rows.data());
        const i64 offsets[] = {0, count / 2, count};
        float pooled[2 * 5];
        table.gather_pooled(rows.data(), count, offsets, 2, Combiner::sqrtn, 9, nullptr, nullptr,
                            {pooled, 5});
        break;
      }
      case 4: table.restrict(std::rand() % 150, std::rand() % 150, Score::frequency); break;
      case 5: table.expire_older_than(static_cast<u32>(std::rand() % 20)); break;
      case 6: {
        table.decay_frequency(0.7);
        table.shrink();
        const PolicyState state = table.policy_state();
        table.set_policy_state(state);
        break;
      }
      case 7: table.add(keys.data(), count, {values.data(), 5}, NewWeights::zeros); break;
      case 8:
        try {
          table.changed_since(table.advance_version() - 1);
        } catch (const VersionError&) {
        }
        break;
      default:
        table.find_or_insert(keys.data(), count, rows.data());
        table.gather(rows.data(), count, nullptr, {values.data(), 5});
        table.apply_gradients(rows.data(), count, {values.data(), count, 5, nullptr, nullptr},
                              static_cast<u32>(round), 0.1f);
    }
    if (round % 700 == 699) table.clear();
    const std::string broken = table.check();
    if (!broken.empty()) {
      std::printf("%s\n", broken.c_str());
      return 1;
    }
  }
  std::printf("sound\n");
  return 0;
}

// Every instruction set that the machine has gives the bits of the portable function.
int levels() {
  for (int level = 0; level <= static_cast<int>(best_simd()); ++level) {
    const InitializeRow initialize = initialize_function(static_cast<Simd>(level));
    for (int kind = 0; kind < 3; ++kind) {
      const InitializerConfig config{static_cast<InitializerKind>(kind), 0.3f, 1.7f};
      for (i64 dim = 1; dim <= 140; ++dim) {
        for (i64 key = -20; key < 20; ++key) {
          const u64 stream = initializer_stream(9, key * 0x123456789ll);
          std::vector<float> expected(static_cast<std::size_t>(dim) + 1, -7.0f);
          std::vector<float> found = expected;
          for (i64 pair = 0; 2 * pair < dim; ++pair) {
            initialize_pair(config, stream, pair, dim, expected.data());
          }
          initialize(config, stream, dim, found.data());
          if (std::memcmp(expected.data(), found.data(), expected.size() * 4) == 0) continue;
          std::printf("level %d kind %d dim %lld key %lld differs\n", level, kind, dim, key);
          return 1;
        }
      }
    }
    std::printf("level %d\n", level);
  }
  return 0;
}

// Rows up to number 2^32 - 3 are addressed inside their slab, at one place each. All slabs are the
// same one here: the numbers are what is tested, not the memory.
int last_row() {
  for (const auto& [dim, type, weight_floats] :
       {std::tuple<i64, RowType, i64>{1, RowType::float32, 1}, {64, RowType::float32, 64},
        {4096, RowType::float32, 4096}, {1, RowType::bfloat16, 1}, {2, RowType::float16, 1},
        {4095, RowType::float16, 2048}}) {
    const RowLayout layout = make_row_layout(dim, type, dim, i64{4} << 20);
    std::vector<u8> slab(static_cast<std::size_t>(layout.slab_bytes));
    const u64 slabs = (u64{1} << 32) >> layout.slab_shift;
    const std::vector<u8*> pointers(static_cast<std::size_t>(slabs), slab.data());
    const RowsView view{pointers.data(), layout};
    const u32 last = kNoRow - 1;
    const u32 rows_per_slab = u32{1} << layout.slab_shift;
    for (const u32 row : {u32{0}, rows_per_slab - 1, rows_per_slab, u32{0x7FFFFFFF}, u32{1} << 31,
                          last - 1, last}) {
      const auto offset = [&](const void* at) { return static_cast<const u8*>(at) - slab.data(); };
      const i64 inside = row % rows_per_slab;
      if (offset(row_weights(view, row)) != inside * layout.stride_floats * 4 ||
          offset(row_states(view, row)) != (inside * layout.stride_floats + weight_floats) * 4 ||
          offset(&row_key(view, row)) != layout.key_offset + inside * 8 ||
          offset(&row_version(view, row)) != layout.version_offset + inside * 4) {
        std::printf("row %u of dim %lld is at a wrong place\n", row, dim);
        return 1;
      }
      row_version(view, row) = row;  // the sanitizer sees a place outside of the slab
    }
  }
  Chunk chunk{};
  const IndexView index{&chunk, 0, ~u64{0}};
  index_insert_absent(index, -5, hash_key(-5, ~u64{0}), kNoRow - 1);
  if (index_find(index, -5, hash_key(-5, ~u64{0})) != kNoRow - 1) return 1;
  std::printf("sound\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (std::strcmp(argv[1], "last-row") == 0) return last_row();
  if (std::strncmp(argv[1], "fuzz", 4) == 0) return fuzz(std::atoi(argv[1] + 4));
  if (std::strcmp(argv[1], "levels") == 0) return levels();
  Table table(small_config(~u64{0}, 3));
  table.set_admission({AdmissionKind::count, 1, 0, 0, false, 0});
  std::vector<i64> keys;
  for (i64 key = 0; key < 40; ++key) keys.push_back(key * 1000);
  std::vector<i64> rows(keys.size());
  table.find_or_insert(keys.data(), 40, rows.data());
  table.erase(keys.data(), 3);
  if (!table.check().empty()) return 3;
  TableProbe probe{table};
  if (!probe.break_invariant(argv[1])) return 2;
  std::printf("%s\n", table.check().c_str());
  return 0;
}
