// The Python binding: shapes and dtypes in, no copy; the GIL is released around the work.
//
// emberline.kernels.HashTable checks its arguments and words the errors. What is checked here
// again is only what memory safety needs.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "group.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace emberline;

namespace {

template <class T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;  // rows may be strided

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

i64 length(const Vector<const i64>& vector) { return static_cast<i64>(vector.shape(0)); }

template <class T>
void require_rows(const Matrix<T>& matrix, i64 rows, i64 columns) {
  require(static_cast<i64>(matrix.shape(0)) == rows, "a matrix has the wrong number of rows");
  require(static_cast<i64>(matrix.shape(1)) == columns, "a matrix has the wrong number of columns");
  // The strides of an empty array mean nothing.
  require(rows == 0 || columns < 2 || matrix.stride(1) == 1, "a matrix's columns must be adjacent");
}

template <class T>
const T* data_or_null(const std::optional<Vector<const T>>& vector, i64 count) {
  if (!vector) return nullptr;
  require(static_cast<i64>(vector->shape(0)) == count, "an array has the wrong length");
  return vector->data();
}

i64 limit(std::optional<i64> max_length) {
  require(!max_length || *max_length >= 1, "max_length is below 1");
  return max_length.value_or(kAnyLength);
}

// A NumPy array that owns the values.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> owned(std::vector<T> values) {
  auto* kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return {kept->data(), {kept->size()}, owner};
}

void make_optimizer_config(OptimizerConfig* self, int kind, float learning_rate,
                           float initial_state, float epsilon, float weight_decay, float clip_norm,
                           float momentum, float decay_1, float rest_1, float decay_2,
                           float rest_2, float power, float l1, float l2, float shrinkage,
                           float beta) {
  require(kind >= 0 && kind <= static_cast<int>(OptimizerKind::rmsprop_centered_momentum),
          "no optimizer has this kind");
  new (self) OptimizerConfig{static_cast<OptimizerKind>(kind), learning_rate, initial_state,
                             epsilon, weight_decay, clip_norm, momentum, decay_1, rest_1, decay_2,
                             rest_2, power, l1, l2, shrinkage, beta};
}

u64 hash_mask(int hash_bits) {
  return hash_bits >= 64 ? ~u64{0} : (u64{1} << hash_bits) - 1;
}

RowType checked_row_type(int row_type) {
  require(row_type >= 0 && row_type <= static_cast<int>(RowType::float16), "unknown row type");
  return static_cast<RowType>(row_type);
}

AdmissionState admission_state(u64 step, Vector<const i64> keys, Vector<const u32> counts,
                               Vector<const u8> cells) {
  require(keys.shape(0) == counts.shape(0), "keys and counts differ in length");
  for (std::size_t i = 0; i < counts.shape(0); ++i) require(counts(i) != 0, "a count is 0");
  return {{keys.data(), keys.data() + keys.shape(0)},
          {counts.data(), counts.data() + counts.shape(0)},
          {cells.data(), cells.data() + cells.shape(0)},
          step};
}

class PyTable {
 public:
  PyTable(std::string name, i64 dim, const OptimizerConfig& optimizer, int initializer,
          float offset, float scale, u64 seed, i64 max_rows, int hash_bits, int threads, i64 grain,
          int row_type)
      : dim_(dim),
        state_floats_(optimizer_state_floats(optimizer.kind, dim)),
        table_({std::move(name), dim, optimizer,
                {static_cast<InitializerKind>(initializer), offset, scale}, seed, max_rows,
                hash_mask(hash_bits), threads, grain, checked_row_type(row_type)}) {}

  i64 size() const { return table_.size(); }
  i64 row_limit() const { return table_.row_limit(); }
  void reserve(i64 keys) { table_.reserve(keys); }
  void clear() { table_.clear(); }
  u32 advance_version() { return table_.advance_version(); }
  std::string check() const { return table_.check(); }

  void set_policy(bool evict_when_full, int score, i64 log_capacity) {
    table_.set_policy({evict_when_full, static_cast<Score>(score), log_capacity});
  }
  i64 restrict(i64 num_reserved, i64 trigger, int score) {
    return table_.restrict(num_reserved, trigger, static_cast<Score>(score));
  }
  i64 expire_before(u32 step) { return table_.expire_before(step); }
  i64 expire_older_than(u32 steps) { return table_.expire_older_than(steps); }
  void decay_frequency(double factor) { table_.decay_frequency(factor); }
  void shrink() { table_.shrink(); }
  u32 version() const { return table_.version(); }

  // Updated keys, evicted keys.
  auto changed_since(u32 since) const {
    TableChanges changes;
    {
      nb::gil_scoped_release release;
      changes = table_.changed_since(since);
    }
    return std::make_tuple(owned(std::move(changes.updated)), owned(std::move(changes.evicted)));
  }

  void set_admission(int kind, u32 threshold, i64 width, i64 depth, bool equal, u64 seed) {
    table_.set_admission(
        {static_cast<AdmissionKind>(kind), threshold, width, depth, equal, seed});
    cells_ = static_cast<AdmissionKind>(kind) == AdmissionKind::sketch ? width * depth : 0;
  }

  // Newest step, admission's step, candidates' keys and counts, cells of the sketch.
  auto policy_state() const {
    PolicyState state;
    {
      nb::gil_scoped_release release;
      state = table_.policy_state();
    }
    AdmissionState& admission = state.admission;
    return std::make_tuple(state.newest_step, admission.step, owned(std::move(admission.keys)),
                           owned(std::move(admission.counts)), owned(std::move(admission.cells)));
  }

  void set_policy_state(u32 newest_step, u64 step, Vector<const i64> keys, Vector<const u32> counts,
                        Vector<const u8> cells) {
    require(cells.shape(0) == static_cast<std::size_t>(cells_), "the sketch has another size");
    table_.set_policy_state({newest_step, admission_state(step, keys, counts, cells)});
  }

  // Size, slots, tombstones, free rows, candidates, evicted, erased, rejected, log entries; probes.
  std::tuple<std::vector<i64>, std::vector<u64>> stats() const {
    const TableStats s = table_.stats();
    return {{s.size, static_cast<i64>(s.slots), static_cast<i64>(s.tombstones), s.free_rows,
             s.candidates, s.evicted, s.erased, s.rejected, s.log_entries},
            {s.probes, s.probes + kProbeBuckets}};
  }

  std::tuple<i64, i64, i64, i64, i64, i64> memory_usage(std::optional<i64> keys) const {
    const MemoryUsage usage = keys ? table_.memory_usage_for(*keys) : table_.memory_usage();
    return {usage.index, usage.rows, usage.metadata, usage.scratch, usage.log, usage.admission};
  }

  void find(Vector<const i64> keys, Vector<i64> rows) const {
    require(rows.shape(0) == keys.shape(0), "rows and keys differ in length");
    table_.find(keys.data(), length(keys), rows.data());
  }

  void find_or_insert(Vector<const i64> keys, Vector<i64> rows) {
    require(rows.shape(0) == keys.shape(0), "rows and keys differ in length");
    table_.find_or_insert(keys.data(), length(keys), rows.data());
  }

  i64 erase(Vector<const i64> keys) { return table_.erase(keys.data(), length(keys)); }

  void lookup(Vector<const i64> keys, bool initial, Matrix<float> out) const {
    require_rows(out, length(keys), dim_);
    table_.lookup(keys.data(), length(keys), initial, {out.data(), out.stride(0)});
  }

  void gather(Vector<const i64> rows, std::optional<Vector<const float>> missing,
              Matrix<float> out) const {
    require_rows(out, length(rows), dim_);
    table_.gather(rows.data(), length(rows), data_or_null(missing, dim_),
                  {out.data(), out.stride(0)});
  }

  void gather_pooled(Vector<const i64> rows, Vector<const i64> offsets, int combiner,
                     std::optional<i64> max_length, std::optional<Vector<const float>> weights,
                     std::optional<Vector<const float>> missing, Matrix<float> out) const {
    require(offsets.shape(0) >= 1, "offsets is empty");
    const i64 segments = length(offsets) - 1;
    require_rows(out, segments, dim_);
    table_.gather_pooled(rows.data(), length(rows), offsets.data(), segments,
                         static_cast<Combiner>(combiner), limit(max_length),
                         data_or_null(weights, length(rows)), data_or_null(missing, dim_),
                         {out.data(), out.stride(0)});
  }

  void apply_gradients(Vector<const i64> rows, Matrix<const float> gradients,
                       std::optional<Vector<const i64>> source,
                       std::optional<Vector<const float>> scale, u32 step, float learning_rate) {
    const i64 count = length(rows);
    const i64 gradient_rows = static_cast<i64>(gradients.shape(0));
    require(count < i64{1} << 32, "more than 2^32 - 1 gradients in one call");
    require(source || gradient_rows == count, "gradients and rows differ in length");
    require_rows(gradients, gradient_rows, dim_);
    table_.apply_gradients(rows.data(), count,
                           {gradients.data(), gradient_rows, gradients.stride(0),
                            data_or_null(source, count), data_or_null(scale, count)},
                           step, learning_rate);
  }

  void upsert(Vector<const i64> keys, Matrix<const float> values,
              std::optional<Matrix<const float>> states,
              std::optional<Vector<const u32>> frequency,
              std::optional<Vector<const u32>> last_step) {
    const i64 count = length(keys);
    require_rows(values, count, dim_);
    if (states) {
      require_rows(*states, count, state_floats_);
      require(count < 2 || state_floats_ == 0 || states->stride(0) == state_floats_,
              "states must be contiguous");
    }
    table_.upsert({keys.data(), count, {values.data(), values.stride(0)},
                   states ? states->data() : nullptr, data_or_null(frequency, count),
                   data_or_null(last_step, count)});
  }

  void add(Vector<const i64> keys, Matrix<const float> values, bool initial) {
    require_rows(values, length(keys), dim_);
    table_.add(keys.data(), length(keys), {values.data(), values.stride(0)},
               initial ? NewWeights::initial : NewWeights::zeros);
  }

  i64 export_keys(i64 start, i64 stop, Vector<i64> keys) const {
    require(start >= 0 && start <= stop && static_cast<i64>(keys.shape(0)) >= stop - start,
            "keys is too short");
    return table_.export_keys(start, stop, keys.data());
  }

  i64 export_rows(i64 start, i64 stop, u32 since, Vector<i64> keys, Matrix<float> values,
                  Matrix<float> states, Vector<u32> frequency, Vector<u32> last_step) const {
    require(start >= 0 && start <= stop, "start and stop are not a range");
    const i64 count = stop - start;
    require(static_cast<i64>(keys.shape(0)) == count &&
                static_cast<i64>(frequency.shape(0)) == count &&
                static_cast<i64>(last_step.shape(0)) == count,
            "an output has the wrong length");
    require_rows(values, count, dim_);
    require_rows(states, count, state_floats_);
    require(count < 2 || (values.stride(0) == dim_ &&
                          (state_floats_ == 0 || states.stride(0) == state_floats_)),
            "outputs must be contiguous");
    return table_.export_rows(
        start, stop, since,
        {keys.data(), values.data(), states.data(), frequency.data(), last_step.data()});
  }

  Table* native() { return &table_; }
  i64 dim() const { return dim_; }

 private:
  i64 dim_;
  i64 state_floats_;
  i64 cells_ = 0;  // of the admission's sketch
  Table table_;
};

// The rules of admission for a table whose rows are elsewhere; see gpu/admission.py.
class PyAdmission {
 public:
  PyAdmission(int kind, u32 threshold, i64 width, i64 depth, bool equal, u64 seed, int hash_bits)
      : admission_({static_cast<AdmissionKind>(kind), threshold, width, depth, equal, seed},
                   hash_mask(hash_bits)) {
    require(kind >= 0 && kind <= static_cast<int>(AdmissionKind::probabilistic),
            "no rule has this kind");
  }

  void decide(Vector<const i64> keys, Vector<const u32> occurrences, Vector<u32> admitted) {
    require(occurrences.shape(0) == keys.shape(0) && admitted.shape(0) == keys.shape(0),
            "arrays differ in length");
    admission_.decide(keys.data(), occurrences.data(), length(keys), admitted.data());
  }
  void commit() { admission_.commit(); }
  void forget(Vector<const i64> keys) {
    for (i64 i = 0; i < length(keys); ++i) admission_.forget(keys.data()[i]);
  }
  void decay(double factor) { admission_.decay(factor); }
  void clear() { admission_.clear(); }

  // Step, candidates' keys and counts, cells of the sketch.
  auto state() const {
    AdmissionState state = admission_.state();
    return std::make_tuple(state.step, owned(std::move(state.keys)),
                           owned(std::move(state.counts)), owned(std::move(state.cells)));
  }
  void set_state(u64 step, Vector<const i64> keys, Vector<const u32> counts,
                 Vector<const u8> cells) {
    require(static_cast<i64>(cells.shape(0)) == admission_.fixed_bytes(),
            "the sketch has another size");
    admission_.set_state(admission_state(step, keys, counts, cells));
  }

  i64 candidates() const { return admission_.candidates(); }
  i64 memory_bytes() const { return admission_.memory_bytes(); }
  i64 fixed_bytes() const { return admission_.fixed_bytes(); }
  i64 scratch_bytes() const { return admission_.scratch_bytes(); }
  std::string check() const { return admission_.check(); }

 private:
  Admission admission_;
};

class PyGroup {
 public:
  using Keys = std::vector<Vector<const i64>>;
  using Offsets = std::vector<std::optional<Vector<const i64>>>;
  using Weights = std::vector<std::optional<Vector<const float>>>;
  // Name, number of its table, combiner, most keys of a sample.
  using Feature = std::tuple<std::string, i64, int, std::optional<i64>>;

  PyGroup(nb::typed<nb::list, PyTable> tables, const std::vector<Feature>& features,
          const Weights& defaults)
      : held_(tables),
        group_(native(tables), native(features, nb::len(tables)), native(defaults, tables)) {}

  void forward(const Keys& keys, const Offsets& offsets, const Weights& weights, i64 samples,
               bool insert, Vector<i64> rows, Matrix<float> out) {
    require(keys.size() == offsets.size() && keys.size() == weights.size(),
            "keys, offsets and weights differ in length");
    std::vector<GroupKeys> batch;
    i64 total = 0;
    for (std::size_t f = 0; f < keys.size(); ++f) {
      require(offsets[f] || (length(keys[f]) == samples && !weights[f]),
              "keys has the wrong length, or weights without offsets");
      batch.push_back({keys[f].data(), length(keys[f]), offset_data(offsets[f], samples),
                       data_or_null(weights[f], length(keys[f]))});
      total += length(keys[f]);
    }
    require_batch(batch, samples, rows.shape(0), total);
    require_rows(out, samples, group_.width());
    group_.forward(batch, samples, insert, rows.data(), {out.data(), out.stride(0)});
  }

  void backward(Vector<const i64> rows, const Offsets& offsets, const Weights& weights,
                Matrix<const float> gradients, u32 step,
                const std::vector<float>& learning_rates) {
    require(offsets.size() == weights.size(), "offsets and weights differ in length");
    const i64 samples = static_cast<i64>(gradients.shape(0));
    std::vector<GroupKeys> batch;
    i64 total = 0;
    for (std::size_t f = 0; f < offsets.size(); ++f) {
      const i64* data = offset_data(offsets[f], samples);
      const i64 count = data == nullptr ? samples : data[samples];
      require(count >= 0, "offsets must not end below 0");
      require(data != nullptr || !weights[f], "weights without offsets");
      batch.push_back({nullptr, count, data, data_or_null(weights[f], count)});
      total += count;
    }
    require_batch(batch, samples, rows.shape(0), total);
    require_rows(gradients, samples, group_.width());
    require(static_cast<i64>(learning_rates.size()) == group_.tables(),
            "learning_rates has the wrong length");
    group_.backward(batch, samples, rows.data(), {gradients.data(), gradients.stride(0)}, step,
                    learning_rates);
  }

 private:
  static std::vector<Table*> native(const nb::list& tables) {
    std::vector<Table*> result;
    for (nb::handle table : tables) result.push_back(nb::cast<PyTable&>(table).native());
    for (Table* table : result) {
      require(std::count(result.begin(), result.end(), table) == 1, "a table is given twice");
    }
    return result;
  }

  static std::vector<GroupFeature> native(const std::vector<Feature>& features,
                                          std::size_t tables) {
    std::vector<GroupFeature> result;
    for (const auto& [name, table, combiner, max_length] : features) {
      require(table >= 0 && table < static_cast<i64>(tables), "a feature has no table");
      require(combiner >= 0 && combiner <= 2, "unknown combiner");
      result.push_back({name, table, static_cast<Combiner>(combiner), limit(max_length)});
    }
    return result;
  }

  // Copies, which live as long as the group.
  static std::vector<std::vector<float>> native(const Weights& defaults, const nb::list& tables) {
    require(defaults.size() == nb::len(tables), "one default for each table");
    std::vector<std::vector<float>> result(defaults.size());
    for (std::size_t t = 0; t < defaults.size(); ++t) {
      const i64 dim = nb::cast<PyTable&>(tables[t]).dim();
      const float* data = data_or_null(defaults[t], dim);
      if (data != nullptr) result[t].assign(data, data + dim);
    }
    return result;
  }

  static const i64* offset_data(const std::optional<Vector<const i64>>& offsets, i64 samples) {
    if (!offsets) return nullptr;
    require(length(*offsets) == samples + 1, "offsets has the wrong length");
    return offsets->data();
  }

  void require_batch(const std::vector<GroupKeys>& batch, i64 samples, std::size_t rows,
                     i64 total) const {
    require(static_cast<i64>(batch.size()) == group_.features(), "one array for each feature");
    require(samples >= 0 && total < i64{1} << 32, "more than 2^32 - 1 keys in one call");
    require(static_cast<i64>(rows) == total, "rows has the wrong length");
  }

  nb::list held_;  // keeps the tables alive
  Group group_;
};

}  // namespace

NB_MODULE(_cpu, m) {
  m.doc() = "The CPU hash table; use emberline.kernels.HashTable.";
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Error& error) {
      const nb::object python_class =
          nb::module_::import_("emberline.kernels.errors").attr(error.python_class);
      PyErr_SetString(python_class.ptr(), error.what());
    }
  });
  nb::class_<OptimizerConfig>(m, "OptimizerConfig")
      .def("__init__", &make_optimizer_config, "kind"_a, "learning_rate"_a, "initial_state"_a,
           "epsilon"_a, "weight_decay"_a, "clip_norm"_a, "momentum"_a, "decay_1"_a, "rest_1"_a,
           "decay_2"_a, "rest_2"_a, "power"_a, "l1"_a, "l2"_a, "shrinkage"_a, "beta"_a);
  using Release = nb::call_guard<nb::gil_scoped_release>;
  nb::class_<PyTable>(m, "Table")
      .def(nb::init<std::string, i64, const OptimizerConfig&, int, float, float, u64, i64, int,
                    int, i64, int>(),
           "name"_a, "dim"_a, "optimizer"_a, "initializer"_a, "offset"_a, "scale"_a, "seed"_a,
           "max_rows"_a, "hash_bits"_a, "threads"_a, "grain"_a, "row_type"_a)
      .def("size", &PyTable::size, Release())
      .def("row_limit", &PyTable::row_limit, Release())
      .def("reserve", &PyTable::reserve, Release(), "keys"_a)
      .def("clear", &PyTable::clear, Release())
      .def("advance_version", &PyTable::advance_version, Release())
      .def("check", &PyTable::check, Release())
      .def("set_policy", &PyTable::set_policy, Release(), "evict_when_full"_a, "score"_a,
           "log_capacity"_a)
      .def("restrict", &PyTable::restrict, Release(), "num_reserved"_a, "trigger"_a, "score"_a)
      .def("expire_before", &PyTable::expire_before, Release(), "step"_a)
      .def("expire_older_than", &PyTable::expire_older_than, Release(), "steps"_a)
      .def("decay_frequency", &PyTable::decay_frequency, Release(), "factor"_a)
      .def("shrink", &PyTable::shrink, Release())
      .def("set_admission", &PyTable::set_admission, Release(), "kind"_a, "threshold"_a, "width"_a,
           "depth"_a, "equal"_a, "seed"_a)
      .def("policy_state", &PyTable::policy_state)
      .def("set_policy_state", &PyTable::set_policy_state, Release(), "newest_step"_a, "step"_a,
           "keys"_a.noconvert(), "counts"_a.noconvert(), "cells"_a.noconvert())
      .def("version", &PyTable::version, Release())
      .def("changed_since", &PyTable::changed_since, "since"_a)
      .def("memory_usage", &PyTable::memory_usage, Release(), "keys"_a.none())
      .def("stats", &PyTable::stats, Release())
      .def("find", &PyTable::find, Release(), "keys"_a.noconvert(), "rows"_a.noconvert())
      .def("find_or_insert", &PyTable::find_or_insert, Release(), "keys"_a.noconvert(),
           "rows"_a.noconvert())
      .def("erase", &PyTable::erase, Release(), "keys"_a.noconvert())
      .def("lookup", &PyTable::lookup, Release(), "keys"_a.noconvert(), "initial"_a,
           "out"_a.noconvert())
      .def("gather", &PyTable::gather, Release(), "rows"_a.noconvert(),
           "missing"_a.noconvert().none(), "out"_a.noconvert())
      .def("gather_pooled", &PyTable::gather_pooled, Release(), "rows"_a.noconvert(),
           "offsets"_a.noconvert(), "combiner"_a, "max_length"_a.none(),
           "weights"_a.noconvert().none(),
           "missing"_a.noconvert().none(), "out"_a.noconvert())
      .def("apply_gradients", &PyTable::apply_gradients, Release(), "rows"_a.noconvert(),
           "gradients"_a.noconvert(), "source"_a.noconvert().none(), "scale"_a.noconvert().none(),
           "step"_a, "learning_rate"_a)
      .def("upsert", &PyTable::upsert, Release(), "keys"_a.noconvert(), "values"_a.noconvert(),
           "states"_a.noconvert().none(), "frequency"_a.noconvert().none(),
           "last_step"_a.noconvert().none())
      .def("add", &PyTable::add, Release(), "keys"_a.noconvert(), "values"_a.noconvert(),
           "initial"_a)
      .def("export_keys", &PyTable::export_keys, Release(), "start"_a, "stop"_a,
           "keys"_a.noconvert())
      .def("export_rows", &PyTable::export_rows, Release(), "start"_a, "stop"_a, "since"_a,
           "keys"_a.noconvert(), "values"_a.noconvert(), "states"_a.noconvert(),
           "frequency"_a.noconvert(), "last_step"_a.noconvert());
  nb::class_<PyAdmission>(m, "Admission")
      .def(nb::init<int, u32, i64, i64, bool, u64, int>(), "kind"_a, "threshold"_a, "width"_a,
           "depth"_a, "equal"_a, "seed"_a, "hash_bits"_a)
      .def("decide", &PyAdmission::decide, Release(), "keys"_a.noconvert(),
           "occurrences"_a.noconvert(), "admitted"_a.noconvert())
      .def("commit", &PyAdmission::commit, Release())
      .def("forget", &PyAdmission::forget, Release(), "keys"_a.noconvert())
      .def("decay", &PyAdmission::decay, Release(), "factor"_a)
      .def("clear", &PyAdmission::clear, Release())
      .def("state", &PyAdmission::state)
      .def("set_state", &PyAdmission::set_state, Release(), "step"_a, "keys"_a.noconvert(),
           "counts"_a.noconvert(), "cells"_a.noconvert())
      .def("candidates", &PyAdmission::candidates)
      .def("memory_bytes", &PyAdmission::memory_bytes)
      .def("fixed_bytes", &PyAdmission::fixed_bytes)
      .def("scratch_bytes", &PyAdmission::scratch_bytes)
      .def("check", &PyAdmission::check);
  nb::class_<PyGroup>(m, "Group")
      .def(nb::init<nb::typed<nb::list, PyTable>, const std::vector<PyGroup::Feature>&,
                    const PyGroup::Weights&>(),
           "tables"_a, "features"_a, "defaults"_a.noconvert())
      .def("forward", &PyGroup::forward, Release(), "keys"_a.noconvert(), "offsets"_a.noconvert(),
           "weights"_a.noconvert(), "samples"_a, "insert"_a, "rows"_a.noconvert(),
           "out"_a.noconvert())
      .def("backward", &PyGroup::backward, Release(), "rows"_a.noconvert(),
           "offsets"_a.noconvert(), "weights"_a.noconvert(), "gradients"_a.noconvert(), "step"_a,
           "learning_rates"_a);
}
