// Run by test_native.py under AddressSanitizer and UBSan. Each case prints a line or more.
//
//   row_types levels  compare the conversions of all instruction sets, print each level
//   row_types dims    a little of everything for odd and even dims and each type, print "sound"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "config.hpp"

using namespace emberline;

namespace {

template <class Half>
bool same_halves(RowType type, Simd level) {
  const HalfRows rows = half_rows(type, level);
  std::srand(3);
  u32 next_half = 0;  // every half in turn, in rows of every length
  for (int round = 0; round < 3000; ++round) {
    const i64 dim = 1 + round % 139;
    const auto size = static_cast<std::size_t>(dim);
    std::unique_ptr<u16[]> halves(new u16[size]);  // its end is the sanitizer's
    std::unique_ptr<float[]> floats(new float[size]);
    for (i64 i = 0; i < dim; ++i) halves[i] = static_cast<u16>(next_half++);
    rows.read(halves.get(), dim, floats.get());
    for (i64 i = 0; i < dim; ++i) {
      if (float_bits(floats[i]) != float_bits(Half::read(halves[i]))) return false;
    }
    for (i64 i = 0; i < dim; ++i) {  // any float, and floats beside halves and their midpoints
      const u32 bits = static_cast<u32>(std::rand()) << 1 ^ static_cast<u32>(std::rand());
      floats[i] = bits_float(round % 2 == 0 ? bits : float_bits(floats[i]) + bits % 3 * 0x7FFFu);
    }
    rows.write_nearest(floats.get(), dim, halves.get());
    for (i64 i = 0; i < dim; ++i) {
      if (halves[i] != Half::write(floats[i], Nearest{})) return false;
    }
    const u64 stream = rounding_stream(5, round, 7, 9);
    rows.write_stochastic(floats.get(), dim, stream, halves.get());
    for (i64 i = 0; i < dim; ++i) {
      if (halves[i] != Half::write(floats[i], lane_rounding(stream, i))) return false;
    }
  }
  return next_half > 3 * 65536;
}

int levels() {
  for (int level = 0; level <= static_cast<int>(best_simd()); ++level) {
    const Simd simd = static_cast<Simd>(level);
    if (!same_halves<Bfloat16>(RowType::bfloat16, simd) ||
        !same_halves<Float16>(RowType::float16, simd)) {
      std::printf("level %d differs\n", level);
      return 1;
    }
    std::printf("level %d\n", level);
  }
  return 0;
}

// Alignment and ends of rows: the sanitizers look at every access, in and out of the table.
bool use_dim(i64 dim, RowType type, OptimizerKind kind) {
  TableConfig settings = small_config(~u64{0}, 2);
  settings.dim = dim;
  settings.row_type = type;
  settings.optimizer.kind = kind;
  settings.optimizer.clip_norm = 1.0f;
  Table table(settings);
  constexpr i64 kCount = 9;
  i64 keys[kCount];
  i64 rows[kCount];
  for (i64 i = 0; i < kCount; ++i) keys[i] = i * 77 - 300;
  const auto size = static_cast<std::size_t>(kCount * dim);
  const auto state_size = static_cast<std::size_t>(kCount * optimizer_state_floats(kind, dim));
  std::unique_ptr<float[]> values(new float[size]);
  std::unique_ptr<float[]> again(new float[size]);
  std::unique_ptr<float[]> states(new float[state_size]);
  table.lookup(keys, kCount, true, {values.get(), dim});
  table.find_or_insert(keys, kCount, rows);
  table.gather(rows, kCount, nullptr, {again.get(), dim});
  if (std::memcmp(values.get(), again.get(), size * 4) != 0) return false;
  for (u32 step = 0; step < 3; ++step) {
    table.apply_gradients(rows, kCount, {values.get(), kCount, dim, nullptr, nullptr}, step, 0.1f);
  }
  const i64 offsets[] = {0, 4, kCount};
  table.gather_pooled(rows, kCount, offsets, 2, Combiner::mean, kAnyLength, nullptr, nullptr,
                      {values.get(), dim});
  u32 frequency[kCount];
  u32 last_step[kCount];
  table.erase(keys, 2);
  table.shrink();
  const i64 count = table.export_rows(0, table.row_limit(), 0,
                                      {keys, values.get(), states.get(), frequency, last_step});
  table.clear();
  table.upsert({keys, count, {values.get(), dim}, states.get(), frequency, last_step});
  table.lookup(keys, count, false, {again.get(), dim});
  const auto kept = static_cast<std::size_t>(count * dim);
  return count == kCount - 2 && std::memcmp(values.get(), again.get(), kept * 4) == 0 &&
         table.check().empty();
}

int dims() {
  for (const i64 dim : {1, 2, 3, 7, 8, 9, 255, 257, 4095, 4096}) {
    for (int type = 0; type < 3; ++type) {
      for (const auto kind : {OptimizerKind::sgd, OptimizerKind::rowwise_adagrad,
                              OptimizerKind::amsgrad}) {
        if (use_dim(dim, static_cast<RowType>(type), kind)) continue;
        std::printf("dim %lld type %d differs\n", dim, type);
        return 1;
      }
    }
  }
  std::printf("sound\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (std::strcmp(argv[1], "levels") == 0) return levels();
  if (std::strcmp(argv[1], "dims") == 0) return dims();
  return 2;
}
