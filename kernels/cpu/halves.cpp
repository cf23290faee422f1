// One loop body, compiled for each instruction set, as in initialize.cpp.
#include "halves.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define EMBERLINE_BODY __attribute__((always_inline)) inline

namespace emberline {

namespace {

template <class Half>
EMBERLINE_BODY void read_lanes(const u16* __restrict__ from, i64 dim, float* __restrict__ to) {
  for (i64 lane = 0; lane < dim; ++lane) to[lane] = Half::read(from[lane]);
}

// A row of constant size has no remainder and no test for one.
template <class Half>
EMBERLINE_BODY void read_body(const u16* from, i64 dim, float* to) {
  switch (dim) {
    case 8: return read_lanes<Half>(from, 8, to);
    case 16: return read_lanes<Half>(from, 16, to);
    case 32: return read_lanes<Half>(from, 32, to);
    case 64: return read_lanes<Half>(from, 64, to);
    default: return read_lanes<Half>(from, dim, to);
  }
}

template <class Half>
EMBERLINE_BODY void nearest_body(const float* __restrict__ from, i64 dim, u16* __restrict__ to) {
  for (i64 lane = 0; lane < dim; ++lane) to[lane] = Half::write(from[lane], Nearest{});
}

template <class Half>
EMBERLINE_BODY void stochastic_body(const float* __restrict__ from, i64 dim, u64 stream,
                                    u16* __restrict__ to) {
  for (i64 lane = 0; lane < dim; ++lane) {
    to[lane] = Half::write(from[lane], lane_rounding(stream, lane));
  }
}

// A macro and not a template: GCC gives a function its target by an attribute on it alone.
#define EMBERLINE_LEVEL(level, attribute)                                                      \
  template <class Half>                                                                        \
  attribute void read_##level(const u16* from, i64 dim, float* to) {                           \
    read_body<Half>(from, dim, to);                                                            \
  }                                                                                            \
  template <class Half>                                                                        \
  attribute void nearest_##level(const float* from, i64 dim, u16* to) {                        \
    nearest_body<Half>(from, dim, to);                                                         \
  }                                                                                            \
  template <class Half>                                                                        \
  attribute void stochastic_##level(const float* from, i64 dim, u64 stream, u16* to) {         \
    stochastic_body<Half>(from, dim, stream, to);                                              \
  }                                                                                            \
  template <class Half>                                                                        \
  HalfRows functions_##level() {                                                               \
    return {read_##level<Half>, nearest_##level<Half>, stochastic_##level<Half>};              \
  }

EMBERLINE_LEVEL(baseline, )
#if defined(__x86_64__)
EMBERLINE_LEVEL(avx2, __attribute__((target("arch=x86-64-v3"))))
EMBERLINE_LEVEL(avx512, __attribute__((target("arch=x86-64-v4"))))

// F16C's own conversion, which the compiler does not find in Float16::read: five times fewer
// operations. It does not look at the mode that flushes subnormal numbers.
__attribute__((target("arch=x86-64-v3"))) void read_float16_f16c(const u16* from, i64 dim,
                                                                float* to) {
  i64 lane = 0;
  for (; lane + 8 <= dim; lane += 8) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + lane));
    _mm256_storeu_ps(to + lane, _mm256_cvtph_ps(halves));
  }
  for (; lane < dim; ++lane) to[lane] = Float16::read(from[lane]);
}
#endif

template <class Half>
HalfRows functions(Simd level) {
#if defined(__x86_64__)
  if (level == Simd::avx512) return functions_avx512<Half>();
  if (level == Simd::avx2) return functions_avx2<Half>();
#endif
  static_cast<void>(level);
  return functions_baseline<Half>();
}

}  // namespace

HalfRows half_rows(RowType type, Simd level) {
  if (type == RowType::bfloat16) return functions<Bfloat16>(level);
  if (type != RowType::float16) return {};
  HalfRows rows = functions<Float16>(level);
#if defined(__x86_64__)
  if (level != Simd::baseline) rows.read = read_float16_f16c;
#endif
  return rows;
}

}  // namespace emberline
