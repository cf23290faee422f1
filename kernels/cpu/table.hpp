// The embedding hash table on the CPU: storage, growth and the loops around the kernels.
#pragma once

#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "admission.hpp"
#include "distinct.hpp"
#include "error.hpp"
#include "eviction_log.hpp"
#include "halves.hpp"
#include "index.cuh"
#include "initialize.hpp"
#include "optimize.hpp"
#include "optimizers.cuh"
#include "pages.hpp"
#include "rows.cuh"
#include "segments.cuh"
#include "select.cuh"
#include "threads.hpp"

namespace emberline {

struct TableConfig {
  std::string name;
  i64 dim;
  OptimizerConfig optimizer;
  InitializerConfig initializer;
  u64 seed;
  i64 max_rows;
  u64 hash_mask;
  int threads = 1;
  i64 grain = 1024;  // the fewest keys or rows of a thread's part; small in tests only
  RowType row_type = RowType::float32;
};

struct MemoryUsage {
  i64 index;
  i64 rows;
  i64 metadata;
  i64 scratch;
  i64 log;
  i64 admission;
};

// Rows of a float32 matrix, `stride` floats apart.
struct MatrixView {
  float* data;
  i64 stride;
};

struct ConstMatrixView {
  const float* data;
  i64 stride;
};

// Where `export_rows` writes; each array has room for stop - start rows.
struct RangeOutput {
  i64* keys;
  float* values;
  float* states;
  u32* frequency;
  u32* last_step;
};

// What `upsert` writes; `states`, `frequency` and `last_step` may be null (left as they are, or
// as a new row has them).
struct RangeInput {
  const i64* keys;
  i64 count;
  ConstMatrixView values;
  const float* states;
  const u32* frequency;
  const u32* last_step;
};

// What happens at max_rows, and what the table remembers of removed keys.
struct PolicyConfig {
  bool evict_when_full = false;
  Score score = Score::frequency;
  i64 log_capacity = i64{1} << 20;
};

// What policies and admission know beside the rows.
struct PolicyState {
  u32 newest_step;
  AdmissionState admission;
};

struct TableStats {
  i64 size;
  u64 slots;
  u64 tombstones;
  i64 free_rows;
  i64 candidates;
  i64 evicted;
  i64 erased;
  i64 rejected;
  i64 log_entries;
  u64 probes[kProbeBuckets];  // keys found in chunk 1, 2, ... of their probe sequence
};

struct TableChanges {
  std::vector<i64> updated;
  std::vector<i64> evicted;
};

struct RowScan;  // row_scan.hpp

// Throws SegmentError unless `offsets` is a partition of [0, count) into `segments`.
void check_offsets(const i64* offsets, i64 segments, i64 count);

// How the weights of a new row start; `unset` where the caller writes them anyway.
enum class NewWeights { initial, zeros, unset };

// The `max_length` of pooling that ignores no position.
constexpr i64 kAnyLength = std::numeric_limits<i64>::max();

// Every public method takes the mutex, so one runs at a time. Methods that can fail do so before
// they change anything that a caller can see.
class Table {
 public:
  explicit Table(TableConfig config);

  i64 size() const;
  i64 row_limit() const;
  MemoryUsage memory_usage() const;
  MemoryUsage memory_usage_for(i64 keys) const;
  TableStats stats() const;
  void reserve(i64 keys);
  void clear();
  u32 advance_version();

  void find(const i64* keys, i64 count, i64* rows) const;
  void find_or_insert(const i64* keys, i64 count, i64* rows);
  i64 erase(const i64* keys, i64 count);

  void lookup(const i64* keys, i64 count, bool initial, MatrixView out) const;
  // `missing` is what row -1 gives, `dim` floats; null: zeros. Only the first `max_length`
  // positions of a segment count.
  void gather(const i64* rows, i64 count, const float* missing, MatrixView out) const;
  void gather_pooled(const i64* rows, i64 count, const i64* offsets, i64 segments,
                     Combiner combiner, i64 max_length, const float* weights,
                     const float* missing, MatrixView out) const;

  void apply_gradients(const i64* rows, i64 count, const GradientView& gradients, u32 step,
                       float learning_rate);

  void upsert(const RangeInput& input);
  // Add to weights; an absent key gets a row that starts as `start` says.
  void add(const i64* keys, i64 count, ConstMatrixView values, NewWeights start);
  i64 export_keys(i64 start, i64 stop, i64* keys) const;
  i64 export_rows(i64 start, i64 stop, u32 since, const RangeOutput& out) const;

  // Policies; see policies.cpp and shrink.cpp.
  void set_policy(const PolicyConfig& policy);
  void set_admission(const AdmissionConfig& config);
  PolicyState policy_state() const;
  void set_policy_state(PolicyState state);
  i64 restrict(i64 num_reserved, i64 trigger, Score score);
  i64 expire_before(u32 step);
  i64 expire_older_than(u32 steps);
  void decay_frequency(double factor);
  void shrink();
  u32 version() const;
  TableChanges changed_since(u32 since) const;

  // The first broken invariant, or an empty string.
  std::string check() const;

 private:
  friend class Group;       // many tables in one call
  friend struct TableProbe;  // the native test, which breaks invariants on purpose

  using Lock = std::lock_guard<std::mutex>;

  IndexView index() const { return {chunks(), chunk_count_ - 1, config_.hash_mask}; }
  Chunk* chunks() const { return reinterpret_cast<Chunk*>(index_pages_.data()); }
  RowsView rows() const { return {slabs_.data(), layout_}; }
  u64 hash(i64 key) const { return hash_key(key, config_.hash_mask); }
  bool is_live(u64 row) const { return (live_[row / 64] >> (row % 64) & 1) != 0; }

  void find_unlocked(const i64* keys, i64 count, i64* rows) const;
  void apply_unlocked(const i64* rows, i64 count, const GradientView& gradients, u32 step,
                      float learning_rate);
  i64 prepare_insert(const i64* keys, i64 count, i64* rows, bool filter);
  void find_range(const i64* keys, i64 count, i64* rows) const;
  i64 run_length(const i64* keys, i64 count, i64 first) const;
  void find_or_insert_unlocked(const i64* keys, i64 count, i64* rows, NewWeights weights,
                               bool filter);
  template <class Reader>
  void lookup_range(const Reader& reader, const i64* keys, i64 count, bool initial,
                    MatrixView out) const;
  void prefetch_rows(const i64* rows, i64 count) const;
  template <class Reader>
  void gather_range(const Reader& reader, const i64* rows, i64 count, const float* missing,
                    MatrixView out) const;
  template <class Reader>
  void pool_range(const Reader& reader, const i64* rows, i64 count, const i64* offsets,
                  i64 segments, Combiner combiner, i64 max_length, const float* weights,
                  const float* missing, MatrixView out) const;
  // On the calling thread, of a group's part; rows and offsets are checked.
  void gather_part(const i64* rows, i64 count, const float* missing, MatrixView out) const;
  void pool_part(const i64* rows, i64 count, const i64* offsets, i64 segments, Combiner combiner,
                 i64 max_length, const float* weights, const float* missing, MatrixView out) const;
  template <class Write>
  void write_rows(const i64* rows, i64 count, const Write& write);
  template <class Write>
  i64 export_runs(i64 start, i64 stop, u32 since, const Write& write) const;
  void check_rows(const i64* rows, i64 count) const;
  void ensure_room(i64 new_keys, i64 evicted = 0);
  void ensure_slabs(i64 row_count);
  void decide_admission(const i64* keys, i64 count, i64* rows);
  void commit_pending(const i64* keys, i64 count, const i64* rows, i64 added);
  void make_room(i64 new_keys, const i64* rows, i64 count);
  void reserve_removals(i64 count);
  RowScan scan(Score score, const u64* skip) const;
  void evict(const RowScan& scan, const EvictionCut& cut, i64 count);
  i64 expire_unlocked(u32 step);
  void give_back_empty_slabs();
  void claim_slabs(i64 new_keys);
  void drop_slabs(i64 needed);
  std::string check_policies() const;
  void rebuild_index(u64 chunk_count);
  void insert_new(const i64* keys, i64 count, i64 added, i64* rows, NewWeights weights);
  void insert_first(const i64* keys, i64 count, i64 added, i64* rows, NewWeights weights);
  void index_new(i64 count, const i64* rows);
  u32 new_row(i64 rank) const;
  void set_live(u32 row) { live_[row / 64] |= u64{1} << (row % 64); }
  void initialize_row(u32 row, i64 key, NewWeights weights);
  void initialize_weights(i64 key, float* weights) const;
  void initialize_halves(i64 key, u16* halves) const;
  void deal(const i64* rows, i64 count, u64* words, i64* bucket_begin);
  void update_sorted(const u64* words, const u32* positions, i64 count,
                     const GradientView& gradients, u32 step, const OptimizerConfig& optimizer,
                     float* sum);
  void round_halves(u32 row, u32 step, const float* weights);

  TableConfig config_;
  Threads threads_;
  RowLayout layout_;
  InitializeRow initialize_;
  HalfRows halves_;  // null for rows of float32
  UpdateRow update_row_;
  mutable std::mutex mutex_;

  Pages index_pages_;
  u64 chunk_count_ = 0;
  u64 tombstones_ = 0;

  std::vector<Pages> extents_;
  std::vector<u8*> slabs_;
  std::vector<u64> live_;  // one bit per row below row_limit_
  std::vector<u32> free_;  // erased rows; the last one is reused first
  i64 size_ = 0;
  i64 row_limit_ = 0;  // one past the highest row number ever used
  u32 version_ = 1;

  PolicyConfig policy_;
  EvictionLog log_;
  std::unique_ptr<Admission> admission_;  // null: every key comes in
  std::vector<bool> given_back_;  // slabs without live rows whose memory the system has
  i64 given_back_count_ = 0;
  u32 newest_step_ = 0;  // the largest last_step since the table was empty
  i64 evicted_ = 0;      // by a policy, since the table was made
  i64 erased_ = 0;       // by erase and clear
  i64 rejected_ = 0;     // occurrences that admission refused

  // What `prepare_insert` decided and `insert_new` carries out.
  struct Pending {
    i64 evictions = 0;
    EvictionCut cut{};
    bool admission = false;
    i64 refused = 0;  // positions
  };
  Pending pending_;
  std::vector<u64> batch_rows_;  // one bit per row: those of the batch, which may not be evicted

  Scratch<i64> rows_scratch_;
  Scratch<float> sum_scratch_;  // a row for each thread; of halves, two
  Scratch<u32> positions_scratch_;
  Scratch<u64> order_scratch_[2];
  mutable std::vector<i64> part_counts_;
  DistinctKeys distinct_;
};

}  // namespace emberline
