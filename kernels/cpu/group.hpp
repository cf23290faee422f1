// Many features on many tables in one call.
#pragma once

#include <algorithm>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "table.hpp"

namespace emberline {

// One feature of a model: which table it reads and how its keys of one sample are combined; those
// beyond the first `max_length` of a sample are ignored.
struct GroupFeature {
  std::string name;
  i64 table;
  Combiner combiner;
  i64 max_length = kAnyLength;
};

// A feature's batch. `offsets` has batch + 1 entries, or is null: one key for each sample.
// `weights` is a factor for each key and needs offsets, or is null: all 1.
struct GroupKeys {
  const i64* keys;
  i64 count;
  const i64* offsets;
  const float* weights;
};

// The tables are the caller's and each is there once. One call runs at a time in a group; each
// holds the mutexes of all its tables, so it is one consistent step.
class Group {
 public:
  // `defaults` has, for each table, what a key without a row gives; an empty vector is zeros.
  Group(std::vector<Table*> tables, std::vector<GroupFeature> features,
        std::vector<std::vector<float>> defaults);

  i64 width() const { return width_; }
  i64 features() const { return static_cast<i64>(features_.size()); }
  i64 tables() const { return static_cast<i64>(tables_.size()); }

  // Look all features up, inserting absent keys or not, and write [batch, width]. `rows` gets the
  // rows of all keys, table after table, for `backward`; -1 for ignored ones, which are not looked
  // up. Throws before anything changed.
  void forward(const std::vector<GroupKeys>& batch, i64 samples, bool insert, i64* rows,
               MatrixView out);

  // Sum the gradients [samples, width] of equal rows, over all features of a table, and update
  // each row once. `batch` needs no keys. Throws before anything changed.
  void backward(const std::vector<GroupKeys>& batch, i64 samples, const i64* rows,
                ConstMatrixView gradients, u32 step, const std::vector<float>& learning_rates);

 private:
  struct Member {
    Table* table;
    std::vector<std::size_t> features;
    std::vector<float> fallback;  // of a key without a row; empty: zeros
    // Of the current call:
    i64 begin = 0;  // of its keys among all
    i64 count = 0;
    i64 kept = 0;  // of these, not ignored
    const i64* keys = nullptr;
    i64 added = 0;
    GradientView gradients{};
    std::exception_ptr error;
    Scratch<i64> keys_scratch;
    Scratch<i64> source_scratch;
    Scratch<float> scale_scratch;
  };

  std::vector<std::unique_lock<std::mutex>> begin_call(const std::vector<GroupKeys>& batch,
                                                       i64 samples);
  template <class Work>
  void for_each_table(const Work& work);
  void join_keys(Member& member, const std::vector<GroupKeys>& batch, i64 samples);
  void spread_rows(const Member& member, const std::vector<GroupKeys>& batch, i64 samples,
                   i64* rows) const;
  i64 kept(std::size_t feature, const i64* offsets, i64 sample) const {
    return std::min(features_[feature].max_length, offsets[sample + 1] - offsets[sample]);
  }
  i64 parts_of(i64 items) const;
  void gather(const std::vector<GroupKeys>& batch, i64 samples, const i64* rows,
              MatrixView out) const;
  void gather_block(std::size_t feature, const std::vector<GroupKeys>& batch, i64 begin, i64 end,
                    const i64* rows, MatrixView out) const;
  void prefetch_block(std::size_t feature, const std::vector<GroupKeys>& batch, i64 begin, i64 end,
                      const i64* rows) const;
  void spread_gradients(Member& member, const std::vector<GroupKeys>& batch, i64 samples,
                        ConstMatrixView gradients);

  std::mutex mutex_;
  std::vector<Member> tables_;
  std::vector<GroupFeature> features_;
  std::vector<i64> columns_;  // where a feature's vectors begin
  std::vector<i64> kept_;     // a feature's keys that are not ignored, in the current call
  i64 width_ = 0;
  // Of the current call:
  std::vector<i64> first_keys_;  // where a feature's keys begin among all
  i64 total_ = 0;                // keys
  Threads threads_;
};

}  // namespace emberline
