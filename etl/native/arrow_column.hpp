// A column of keys as the engine holds it, read in place through Arrow's C data interface
// (https://arrow.apache.org/docs/format/CDataInterface.html): 64-bit words, or text.
//
// Every key has a word of 64 bits. Text of up to 8 bytes is its own word, padded with 0xFF, a byte
// that UTF-8 does not have: different texts have different words. The word of longer text is a hash
// below the byte 0xC1, which cannot end a text either; such keys are compared byte by byte as well.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace emberline::etl {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words hold the first byte lowest");

using i64 = std::int64_t;
using u64 = std::uint64_t;
using u32 = std::uint32_t;

struct ArrowSchema {
  const char *format, *name, *metadata;
  i64 flags, n_children;
  ArrowSchema **children, *dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  i64 length, null_count, offset, n_buffers, n_children;
  const void** buffers;
  ArrowArray **children, *dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

struct ArrowArrayStream {
  int (*get_schema)(ArrowArrayStream*, ArrowSchema*);
  int (*get_next)(ArrowArrayStream*, ArrowArray*);
  const char* (*get_last_error)(ArrowArrayStream*);
  void (*release)(ArrowArrayStream*);
  void* private_data;
};

// The bits of a word spread over all bits of the result, one to one.
inline u64 mixed(u64 word) {
  word *= 0x9E3779B97F4A7C15;
  word ^= word >> 32;
  return word * 0xD6E8FEB86659FD93;
}

class Column {
 public:
  // Takes a Polars Series in one chunk; holds its memory as long as it lives.
  explicit Column(nanobind::handle series) {
    const nanobind::object capsule = series.attr("__arrow_c_stream__")();
    auto* stream = static_cast<ArrowArrayStream*>(
        PyCapsule_GetPointer(capsule.ptr(), "arrow_array_stream"));
    if (stream == nullptr) throw nanobind::python_error();
    ArrowSchema schema{};
    if (stream->get_schema(stream, &schema) != 0) throw std::runtime_error("no Arrow schema");
    const std::string format = schema.format;
    schema.release(&schema);
    if (format == "vu")
      kind_ = Kind::text;
    else if (format == "l")
      kind_ = Kind::integer;
    else if (format == "L")
      kind_ = Kind::natural;
    else if (format == "g")
      kind_ = Kind::real;
    else
      throw std::invalid_argument("keys must be text or numbers of 64 bits, not " + format);
    ArrowArray next{};
    while (stream->get_next(stream, &next) == 0 && next.release != nullptr) {
      if (array_.release != nullptr) {
        next.release(&next);
        release();
        throw std::invalid_argument("keys must be in one chunk");
      }
      array_ = next;
      next = ArrowArray{};
    }
    if (array_.length == 0) return;
    validity_ = static_cast<const std::uint8_t*>(array_.buffers[0]);
    words_ = static_cast<const u64*>(array_.buffers[1]) + array_.offset * (text() ? 2 : 1);
  }
  ~Column() { release(); }
  Column(const Column&) = delete;
  Column& operator=(const Column&) = delete;

  i64 size() const { return array_.length; }
  bool is_real() const { return kind_ == Kind::real; }
  bool text() const { return kind_ == Kind::text; }

  bool valid(i64 row) const {
    const i64 bit = row + array_.offset;
    return validity_ == nullptr || (validity_[bit >> 3] >> (bit & 7) & 1);
  }

  // The keys themselves, of numbers.
  const u64* words() const { return words_; }

  double real(i64 row) const {
    double value;
    std::memcpy(&value, words_ + row, sizeof value);
    return value;
  }

  // Of a null: anything.
  u64 word(i64 row) const { return text() ? text_word(row) : words_[row]; }

  // Whether two keys of this word are equal.
  bool same(u64 word, i64 row, const Column& other, i64 other_row) const {
    return word >> 56 != LONG || !text() || bytes(row) == other.bytes(other_row);
  }

  // A number that ascends with the keys; of texts with the same first 8 bytes it is the same.
  u64 rank(i64 row) const {
    if (text()) {
      u64 first = 0;
      const std::string_view text = bytes(row);
      std::memcpy(&first, text.data(), std::min<std::size_t>(8, text.size()));
      return __builtin_bswap64(first);
    }
    const u64 sign = u64{1} << 63, word = words_[row];
    if (kind_ == Kind::natural) return word;
    return kind_ == Kind::real && word & sign ? ~word : word ^ sign;
  }

  // A view: the length, then up to 12 bytes themselves, or 4 of them, the number of a buffer and
  // an offset in it.
  std::string_view bytes(i64 row) const {
    const char* view = reinterpret_cast<const char*>(words_ + 2 * row);
    u32 parts[4];
    std::memcpy(parts, view, sizeof parts);
    const bool inside = parts[0] <= 12;
    return {inside ? view + 4 : static_cast<const char*>(array_.buffers[2 + parts[2]]) + parts[3],
            parts[0]};
  }

 private:
  enum class Kind { text, integer, natural, real };

  u64 text_word(i64 row) const {
    const u64* view = words_ + 2 * row;
    const u32 length = static_cast<u32>(view[0]);
    if (length > 8) return valid(row) ? LONG << 56 | hashed(bytes(row)) >> 8 : 0;
    return view[0] >> 32 | view[1] << 32 | PADDING[length];
  }

  static u64 hashed(std::string_view text) {
    u64 hash = text.size();
    for (std::size_t i = 0; i < text.size(); i += 8) {
      u64 piece = 0;
      std::memcpy(&piece, text.data() + i, std::min<std::size_t>(8, text.size() - i));
      hash = mixed(hash ^ piece);
      hash ^= hash >> 32;
    }
    return hash;
  }

  void release() {
    if (array_.release != nullptr) array_.release(&array_);
  }

  static constexpr u64 LONG = 0xC1;
  static constexpr u64 PADDING[9] = {
      ~0ull,       ~0ull << 8,  ~0ull << 16, ~0ull << 24, ~0ull << 32,
      ~0ull << 40, ~0ull << 48, ~0ull << 56, 0};

  ArrowArray array_{};
  Kind kind_ = Kind::text;
  const std::uint8_t* validity_ = nullptr;
  const u64* words_ = nullptr;
};

}  // namespace emberline::etl
