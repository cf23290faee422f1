// What the ETL does with every single value, where the engine's own operations are several times
// slower: finding keys among known ones, counting and ordering them, exact sums. The GIL is released
// around the work.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "dense_table.hpp"
#include "key_order.hpp"
#include "key_table.hpp"
#include "moments.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace emberline::etl;

namespace {

template <class T>
using Result = nb::ndarray<nb::numpy, T, nb::ndim<1>>;
using Weights = nb::ndarray<const i64, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
Result<T> given_away(std::unique_ptr<T[]> values, i64 count) {
  T* first = values.release();
  nb::capsule owner(first, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return Result<T>(first, {static_cast<std::size_t>(count)}, owner);
}

template <class T>
Result<T> given_away(const std::vector<T>& values) {
  std::unique_ptr<T[]> copy(new T[values.size()]);
  std::copy(values.begin(), values.end(), copy.get());
  return given_away(std::move(copy), static_cast<i64>(values.size()));
}

void require_room(i64 keys) {
  if (keys > KeyTable::MOST) throw std::length_error("more than 4 billion keys");
}

void require_no_null(const Column& keys) {
  for (i64 row = 0; row < keys.size(); ++row)
    if (!keys.valid(row)) throw std::invalid_argument("keys must not be null");
}

class Index {
 public:
  explicit Index(nb::handle keys) : keys_(keys) {
    require_room(keys_.size());
    nb::gil_scoped_release released;
    require_no_null(keys_);
    dense_ = DenseTable::of(keys_);
    if (dense_) return;
    table_ = KeyTable(keys_.size());
    // Of distinct keys the numbers are the rows.
    table_.number(keys_, [](i64, i64) {});
    if (table_.size() != keys_.size()) throw std::invalid_argument("keys must be distinct");
  }

  bool dense() const { return dense_.has_value(); }

  Result<i64> find(nb::handle series, i64 first, i64 unknown, i64 null) const {
    const Column column(series);
    if (column.text() != keys_.text()) throw std::invalid_argument("keys of another type");
    std::unique_ptr<i64[]> out(new i64[column.size()]);
    {
      nb::gil_scoped_release released;
      if (dense_) {
        dense_->find(column, first, unknown, null, out.get());
      } else {
        std::fill_n(out.get(), column.size(), null);
        table_.find(column, keys_, [&](i64 row, i64 number) {
          out[row] = number >= 0 ? first + number : unknown;
        });
      }
    }
    return given_away(std::move(out), column.size());
  }

 private:
  Column keys_;
  std::optional<DenseTable> dense_;
  KeyTable table_;
};

// Adds the first null to the keys, counted.
void add_nulls(const Column& column, const i64* weight, std::vector<u32>& rows,
               std::vector<i64>& counts) {
  i64 first = -1, nulls = 0;
  for (i64 row = column.size() - 1; row >= 0; --row) {
    if (column.valid(row)) continue;
    first = row;
    nulls += weight == nullptr ? 1 : weight[row];
  }
  rows.push_back(static_cast<u32>(first));
  counts.push_back(nulls);
}

std::pair<Result<u32>, Result<i64>> count(nb::handle series, std::optional<Weights> weights) {
  const Column column(series);
  require_room(column.size());
  if (weights && static_cast<i64>(weights->shape(0)) != column.size())
    throw std::invalid_argument("as many weights as keys are needed");
  const i64* weight = weights ? weights->data() : nullptr;
  std::vector<u32> rows;
  std::vector<i64> counts;
  {
    nb::gil_scoped_release released;
    // What has weights is partial counts: most keys differ.
    KeyTable table(weights ? column.size() : 512);
    i64 left = 0;
    table.number(column, [&](i64 row, i64 number) {
      if (number == static_cast<i64>(rows.size())) {
        rows.push_back(static_cast<u32>(row));
        counts.push_back(0);
      }
      counts[number] += weight == nullptr ? 1 : weight[row];
      ++left;
    });
    if (left < column.size()) add_nulls(column, weight, rows, counts);
  }
  return {given_away(rows), given_away(counts)};
}

Result<u32> order(nb::handle series, Weights counts) {
  const Column keys(series);
  require_room(keys.size());
  if (static_cast<i64>(counts.shape(0)) != keys.size())
    throw std::invalid_argument("as many counts as keys are needed");
  std::vector<u32> rows;
  {
    nb::gil_scoped_release released;
    require_no_null(keys);
    rows = ordered(keys, counts.data());
  }
  return given_away(rows);
}

auto moments_of(nb::handle series) {
  const Column column(series);
  if (!column.is_real()) throw std::invalid_argument("the column must be float64");
  nb::gil_scoped_release released;
  return moments(column);
}

}  // namespace

NB_MODULE(_native, m) {
  // Plans of the engine may hold an index until the process ends.
  nb::set_leak_warnings(false);
  nb::class_<Index>(m, "Index")
      .def(nb::init<nb::handle>(), "keys"_a)
      .def_prop_ro("dense", &Index::dense)
      .def("find", &Index::find, "keys"_a, nb::kw_only(), "first"_a, "unknown"_a, "null"_a);
  m.def("count", &count, "keys"_a, "weights"_a = nb::none());
  m.def("moments", &moments_of, "column"_a);
  m.def("order", &order, "keys"_a, "counts"_a);
}
