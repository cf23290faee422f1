// Which absent keys may come in. One call for the absent keys of a batch; two phases, so that a
// batch that does not fit the table changes nothing here either.
#pragma once

#include <vector>

#include "candidates.hpp"
#include "sketch.cuh"

namespace emberline {

enum class AdmissionKind : int { count = 0, sketch = 1, probabilistic = 2 };

struct AdmissionConfig {
  AdmissionKind kind;
  u32 threshold;  // occurrences, at least 1; of a sketch at most 255
  i64 width;      // sketch: cells in a line
  i64 depth;      // sketch: lines
  bool equal;     // probabilistic: every occurrence has the same chance
  u64 seed;       // sketch, probabilistic
};

// All that a copy needs to go on equally.
struct AdmissionState {
  std::vector<i64> keys;  // candidates, ascending, with their counts
  std::vector<u32> counts;
  std::vector<u8> cells;
  u64 step = 0;
};

class Admission {
 public:
  // Throws std::bad_alloc.
  Admission(const AdmissionConfig& config, u64 hash_mask);

  // Decide on the absent keys of a batch, whose places in `rows` are marked (batch_marks.hpp);
  // those of refused ones become kRefused. The decision depends on the key and on earlier batches
  // alone. Returns the positions refused. Throws std::bad_alloc.
  i64 decide(const i64* keys, i64 count, i64* rows);

  // The same for distinct absent keys in the order of first occurrence, with how often each is in
  // the batch; admitted[i] becomes 1 or 0. Throws std::bad_alloc.
  void decide(const i64* keys, const u32* occurrences, i64 count, u32* admitted);

  // Take in what `decide` decided; cannot fail.
  void commit();

  // A key that came in another way is no candidate.
  void forget(i64 key);

  void decay(double factor);
  void clear();

  AdmissionState state() const;
  bool is_candidate(i64 key) const { return candidates_.count(key) != 0; }
  // `state` has 0 or all cells, counts of 1 to threshold - 1. Throws std::bad_alloc.
  void set_state(const AdmissionState& state);

  const AdmissionConfig& config() const { return config_; }
  i64 candidates() const { return candidates_.size(); }
  i64 memory_bytes() const;
  i64 fixed_bytes() const { return static_cast<i64>(cells_.size()); }
  i64 scratch_bytes() const;

  // What is wrong with the counts, or an empty string.
  const char* check() const;

 private:
  bool admits(i64 key, u32 occurrences, u64* total) const;
  void decide_absent();

  AdmissionConfig config_;
  Candidates candidates_;
  std::vector<u8> cells_;
  u64 step_ = 0;  // batches with absent keys
  double survival_;  // probabilistic, equal: the chance that one occurrence is refused

  struct Absent {
    i64 key;
    u32 occurrences;  // in the batch
    bool admitted;
    u64 total;  // with earlier batches
  };
  std::vector<Absent> absent_;  // distinct, in the order of first occurrence
  std::vector<u32> numbers_;    // of a first occurrence: that of its key
};

}  // namespace emberline
