// Rows of a window's decoded row groups into the buffers of batches, without the GIL.
//
// A column is first laid end to end in a scratch buffer and then taken from in the window's order.
// That one more sequential copy pays (benchmarks/NOTES.md): what was decoded lies cold in memory
// and is streamed, and the random reads find a buffer that this thread has in its cache. It is a
// column of a window that is copied there, never the window.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using i64 = std::int64_t;
using u32 = std::uint32_t;
using u8 = std::uint8_t;
using Order = nb::ndarray<const i64, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<i64, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// Values as bytes, [rows, bytes of a row]: how many bytes is all that copying needs to know.
using Bytes = nb::ndarray<u8, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ConstBytes = nb::ndarray<const u8, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

template <class Array>
i64 length(const Array& array) {
  return static_cast<i64>(array.shape(0));
}

// Memory of one thread, kept from call to call: hot in its cache, and its pages are there. In large
// pages, or random reads would miss the translation buffer. Nothing is written when it grows.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(data_); }

  void* at_least(std::size_t bytes) {
    if (bytes_ >= bytes) return data_;
    std::free(data_);
    bytes_ = 0;
    const std::size_t rounded = (bytes + kPage - 1) / kPage * kPage;
    data_ = std::aligned_alloc(kPage, rounded);
    if (data_ == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    madvise(data_, rounded, MADV_HUGEPAGE);  // a hint: without it the same, slower
#endif
    bytes_ = rounded;
    return data_;
  }

  void keep_at_most(std::size_t bytes) {
    if (bytes_ <= bytes) return;
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Columns of windows beyond this are in no cache anyway, and their memory is given back.
constexpr std::size_t kKeptBytes = std::size_t{16} << 20;

template <class T>
class Scratch {
 public:
  T* resize(i64 count) {
    return static_cast<T*>(memory_.at_least(static_cast<std::size_t>(count) * sizeof(T)));
  }
  ~Scratch() { memory_.keep_at_most(kKeptBytes); }

 private:
  static thread_local Memory memory_;
};
template <class T>
thread_local Memory Scratch<T>::memory_;

template <i64 kSize>
void take(const u8* from, const u32* rows, u8* to, i64 count) {
  for (i64 i = 0; i < count; ++i) std::memcpy(to + i * kSize, from + i64{rows[i]} * kSize, kSize);
}

void take(const u8* from, const u32* rows, u8* to, i64 count, i64 size) {
  switch (size) {
    case 1: return take<1>(from, rows, to, count);
    case 2: return take<2>(from, rows, to, count);
    case 4: return take<4>(from, rows, to, count);
    case 8: return take<8>(from, rows, to, count);
    case 16: return take<16>(from, rows, to, count);
    default:
      for (i64 i = 0; i < count; ++i) std::memcpy(to + i * size, from + rows[i] * size, size);
  }
}

// The values of all chunks end to end.
const u8* join(const std::vector<ConstBytes>& chunks, i64 size, Scratch<u8>& scratch) {
  i64 total = 0;
  for (const ConstBytes& chunk : chunks) total += length(chunk);
  u8* joined = scratch.resize(total * size);
  u8* next = joined;
  for (const ConstBytes& chunk : chunks) {
    const i64 bytes = length(chunk) * size;
    if (bytes != 0) std::memcpy(next, chunk.data(), bytes);
    next += bytes;
  }
  return joined;
}

// The order of a window's rows, checked once, so that no call reads outside the window.
class WindowOrder {
 public:
  explicit WindowOrder(const Order& order) : rows_(length(order)) {
    require(length(order) < std::numeric_limits<u32>::max(), "a window has 2**32 rows or more");
    nb::gil_scoped_release release;
    const auto window = static_cast<std::uint64_t>(rows_.size());
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const auto row = static_cast<std::uint64_t>(order.data()[i]);  // a negative one is huge
      last = row > last ? row : last;
      rows_[i] = static_cast<u32>(row);
    }
    require(rows_.empty() || last < window, "the order names a row that is not in the window");
  }

  // outs[k] gets the rows of the places begins[k] and after.
  void take_rows(const std::vector<ConstBytes>& chunks, const std::vector<i64>& begins,
                 const std::vector<Bytes>& outs) const {
    require(!chunks.empty() && begins.size() == outs.size(), "no chunk, or not a begin for each out");
    const i64 size = static_cast<i64>(chunks[0].shape(1));
    i64 total = 0;
    for (const ConstBytes& chunk : chunks) {
      require(static_cast<i64>(chunk.shape(1)) == size, "chunks have rows of different sizes");
      total += length(chunk);
    }
    require(total == rows(), "the chunks have not the window's rows");
    for (std::size_t k = 0; k < outs.size(); ++k) {
      require(static_cast<i64>(outs[k].shape(1)) == size, "an output has rows of another size");
      require_places(begins[k], length(outs[k]));
    }
    nb::gil_scoped_release release;
    Scratch<u8> scratch;
    const u8* from = join(chunks, size, scratch);
    for (std::size_t k = 0; k < outs.size(); ++k)
      take(from, rows_.data() + begins[k], outs[k].data(), length(outs[k]), size);
  }

  // outs[k] gets the offsets, from 0, of the lists at the places begins[k] and after.
  void take_offsets(const std::vector<Order>& chunks, const std::vector<i64>& begins,
                    const std::vector<Offsets>& outs) const {
    require(begins.size() == outs.size(), "not a begin for each output");
    for (std::size_t k = 0; k < outs.size(); ++k) {
      require(length(outs[k]) >= 1, "offsets have at least one entry");
      require_places(begins[k], length(outs[k]) - 1);
    }
    require_lists(chunks);
    nb::gil_scoped_release release;
    Scratch<i64> scratch;
    i64* lengths = scratch.resize(rows());
    i64* next = lengths;
    for (const Order& chunk : chunks)
      for (i64 i = 1; i < length(chunk); ++i) *next++ = chunk.data()[i] - chunk.data()[i - 1];
    for (std::size_t k = 0; k < outs.size(); ++k) {
      const u32* from = rows_.data() + begins[k];
      i64* out = outs[k].data();
      out[0] = 0;
      for (i64 i = 0; i + 1 < length(outs[k]); ++i) out[i + 1] = out[i] + lengths[from[i]];
    }
  }

  // outs[k] gets the elements of the lists whose offsets `take_offsets` wrote.
  void take_lists(const std::vector<ConstBytes>& chunks, const std::vector<Order>& offsets,
                  const std::vector<i64>& begins, const std::vector<Bytes>& outs,
                  const std::vector<Order>& out_offsets) const {
    require(chunks.size() == offsets.size(), "not offsets for each chunk");
    require(begins.size() == outs.size() && outs.size() == out_offsets.size(),
            "not a begin and offsets for each output");
    require_lists(offsets);
    const i64 size = static_cast<i64>(chunks[0].shape(1));
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      require(static_cast<i64>(chunks[c].shape(1)) == size, "chunks have elements of other sizes");
      const Order& o = offsets[c];
      require(o(0) >= 0 && o(length(o) - 1) <= length(chunks[c]), "offsets leave their values");
    }
    for (std::size_t k = 0; k < outs.size(); ++k) {
      require(static_cast<i64>(outs[k].shape(1)) == size, "an output has elements of another size");
      require(length(out_offsets[k]) >= 1, "offsets have at least one entry");
      require_places(begins[k], length(out_offsets[k]) - 1);
    }
    bool fits = true;
    {
      nb::gil_scoped_release release;
      Scratch<u8> scratch;
      Scratch<i64> ends;
      const u8* from = join(chunks, size, scratch);
      i64* firsts = ends.resize(2 * rows());
      i64* next = firsts;
      i64 before = 0;
      for (std::size_t c = 0; c < chunks.size(); ++c) {
        for (i64 i = 1; i < length(offsets[c]); ++i) {
          const i64 first = offsets[c].data()[i - 1], last = offsets[c].data()[i];
          fits = fits && first <= last;  // with the check of both ends: within the chunk
          *next++ = before + first;
          *next++ = last - first;
        }
        before += length(chunks[c]);
      }
      for (std::size_t k = 0; fits && k < outs.size(); ++k) {
        const u32* rows = rows_.data() + begins[k];
        u8* to = outs[k].data();
        i64 room = length(outs[k]);
        for (i64 i = 0; i + 1 < length(out_offsets[k]); ++i) {
          const i64 first = firsts[2 * rows[i]], count = firsts[2 * rows[i] + 1];
          room -= count;
          if (room < 0) break;
          std::memcpy(to, from + first * size, count * size);
          to += count * size;
        }
        fits = room == 0;
      }
    }
    require(fits, "offsets do not ascend, or an output has not the room of its lists");
  }

 private:
  i64 rows() const { return static_cast<i64>(rows_.size()); }

  void require_places(i64 begin, i64 count) const {
    require(begin >= 0 && begin <= rows() && count <= rows() - begin, "an output leaves the window");
  }

  void require_lists(const std::vector<Order>& offsets) const {
    i64 total = 0;
    for (const Order& chunk : offsets) {
      require(length(chunk) >= 1, "offsets have at least one entry");
      total += length(chunk) - 1;
    }
    require(!offsets.empty() && total == rows(), "the chunks have not the window's rows");
  }

  std::vector<u32> rows_;
};

}  // namespace

NB_MODULE(_gather, m) {
  m.doc() = "Rows of decoded row groups into batches, without the GIL; see dataloaders/window.py.";
  nb::class_<WindowOrder>(m, "WindowOrder", "The order of a window's rows: int64, a permutation.")
      .def(nb::init<const Order&>(), "order"_a.noconvert())
      .def("take_rows", &WindowOrder::take_rows, "chunks"_a, "begins"_a, "outs"_a.noconvert(),
           "Fill each out [n, bytes] with the rows at the places from its begin on.")
      .def("take_offsets", &WindowOrder::take_offsets, "chunks"_a, "begins"_a, "outs"_a.noconvert(),
           "Fill each out [n + 1] with the offsets, from 0, of the lists from its begin on.")
      .def("take_lists", &WindowOrder::take_lists, "chunks"_a, "offsets"_a, "begins"_a, "outs"_a.noconvert(),
           "out_offsets"_a, "Fill each out with the elements of the lists from its begin on.");
}
