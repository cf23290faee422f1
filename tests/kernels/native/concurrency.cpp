// Run by test_native.py under ThreadSanitizer, and under AddressSanitizer and UBSan.
//
//   concurrency callers    four threads call one table, each with keys of its own and shared ones
//   concurrency tables     four tables at work at the same time share the pool
//   concurrency pool       the same work with 1, 2 and 7 threads gives the same bits
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "config.hpp"

using namespace emberline;

namespace {

constexpr i64 kDim = 5;

// A generator of our own: std::rand is shared between threads.
struct Random {
  u64 state;
  i64 below(i64 n) {
    state += kGolden;
    return static_cast<i64>(mix64(state) % static_cast<u64>(n));
  }
};

struct Rows {
  std::vector<i64> keys;
  std::vector<float> values;
  std::vector<float> states;
  std::vector<u32> frequency;
  std::vector<u32> last_step;

  bool operator==(const Rows& other) const {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
    };
    return keys == other.keys && same(values, other.values) && same(states, other.states) &&
           frequency == other.frequency && last_step == other.last_step;
  }
};

Rows export_all(const Table& table) {
  const i64 stop = table.row_limit();  // once: another caller may add rows meanwhile
  const auto limit = static_cast<std::size_t>(stop);
  Rows rows{std::vector<i64>(limit), std::vector<float>(limit * kDim),
            std::vector<float>(limit * kDim), std::vector<u32>(limit), std::vector<u32>(limit)};
  const auto count = static_cast<std::size_t>(table.export_rows(
      0, stop, 0,
      {rows.keys.data(), rows.values.data(), rows.states.data(), rows.frequency.data(),
       rows.last_step.data()}));
  rows.keys.resize(count);
  rows.values.resize(count * kDim);
  rows.states.resize(count * kDim);
  rows.frequency.resize(count);
  rows.last_step.resize(count);
  return rows;
}

// One round of random work on keys first .. first + 200. Returns false where an answer is wrong.
bool work(Table& table, Random& random, i64 first, u32 step) {
  const i64 count = 1 + random.below(60);
  std::vector<i64> keys(static_cast<std::size_t>(count));
  std::vector<i64> rows(keys.size());
  std::vector<float> values(keys.size() * kDim);
  for (i64& key : keys) key = first + random.below(200);
  for (float& value : values) value = static_cast<float>(random.below(7) - 3);
  switch (random.below(6)) {
    case 0:
      table.erase(keys.data(), count);
      break;
    case 1: {
      RangeInput input{};
      input.keys = keys.data();
      input.count = count;
      input.values = {values.data(), kDim};
      table.upsert(input);
      // The last of equal keys wins, and nobody else writes these keys.
      std::vector<float> found(values.size());
      table.lookup(keys.data(), count, false, {found.data(), kDim});
      const i64 last = count - 1;
      return std::memcmp(found.data() + last * kDim, values.data() + last * kDim, kDim * 4) == 0;
    }
    case 2:
      table.lookup(keys.data(), count, true, {values.data(), kDim});
      break;
    case 3: {
      table.find(keys.data(), count, rows.data());
      const i64 offsets[] = {0, count / 2, count / 2, count};
      float pooled[3 * kDim];
      table.gather_pooled(rows.data(), count, offsets, 3, Combiner::mean, 4, nullptr, nullptr,
                          {pooled, kDim});
      break;
    }
    case 4:
      export_all(table);
      break;
    default:
      table.find_or_insert(keys.data(), count, rows.data());
      for (std::size_t i = 0; i < keys.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
          if ((keys[i] == keys[j]) != (rows[i] == rows[j])) return false;
        }
      }
      table.apply_gradients(rows.data(), count, {values.data(), count, kDim, nullptr, nullptr},
                            step, 0.1f);
  }
  return true;
}

// Print a verdict; 1 is a failure.
int say(int status, const std::string& what) {
  std::printf("%s\n", what.c_str());
  return status;
}

// Each caller trains and erases keys of its own, and looks keys up that all insert.
int callers() {
  Table table(small_config(~u64{0}, 2));
  constexpr int kCallers = 4;
  bool good[kCallers] = {};
  std::vector<std::thread> threads;
  for (int caller = 0; caller < kCallers; ++caller) {
    threads.emplace_back([&table, &good, caller] {
      Random random{static_cast<u64>(caller)};
      good[caller] = true;
      for (u32 round = 0; round < 150; ++round) {
        good[caller] = work(table, random, caller * 1000, round) && good[caller];
        i64 shared[20];
        i64 rows[20];
        for (i64& key : shared) key = -1 - random.below(40);
        table.find_or_insert(shared, 20, rows);
        std::vector<i64> again(20);
        table.find(shared, 20, again.data());
        good[caller] = std::memcmp(rows, again.data(), sizeof(rows)) == 0 && good[caller];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool one : good) {
    if (!one) return say(1, "a caller got a wrong answer");
  }
  const std::string broken = table.check();
  return broken.empty() ? say(0, "sound") : say(1, broken);
}

// Tables of one process share the pool; a step that finds it busy runs on its own thread.
int tables() {
  std::vector<Rows> results(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&results, i] {
      Table table(small_config(~u64{0}, 2 + static_cast<int>(i)));
      Random random{99};
      for (u32 round = 0; round < 200; ++round) work(table, random, 0, round);
      results[i] = export_all(table);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Rows& rows : results) {
    if (!(rows == results[0])) return say(1, "tables that did the same differ");
  }
  return results[0].keys.empty() ? say(1, "nothing was compared") : say(0, "identical");
}

int pool() {
  for (const auto& [hash_mask, type] :
       {std::pair{~u64{0}, RowType::float32}, {u64{0xFF}, RowType::bfloat16},
        {u64{0}, RowType::float16}}) {
    std::vector<Rows> results;
    for (const int count : {1, 2, 7}) {
      TableConfig config = small_config(hash_mask, count);
      config.row_type = type;
      Table table(config);
      Random random{hash_mask};
      for (u32 round = 0; round < 150; ++round) {
        if (!work(table, random, -100, round)) return say(1, "a wrong answer");
        if (round == 100) table.clear();
      }
      const std::string broken = table.check();
      if (!broken.empty()) return say(1, broken);
      results.push_back(export_all(table));
    }
    if (results[0].keys.empty()) return say(1, "nothing was compared");
    if (!(results[1] == results[0] && results[2] == results[0])) {
      return say(1, "the result depends on the number of threads");
    }
  }
  return say(0, "identical");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string name = argv[1];
  if (name == "callers") return callers();
  if (name == "tables") return tables();
  if (name == "pool") return pool();
  return 2;
}
