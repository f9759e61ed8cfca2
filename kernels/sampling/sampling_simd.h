// The loops of the AVX2 and AVX-512 variants. Lanes past the end are -infinity,
// which no maximum is below and whose exp is an exact 0.
#ifndef FACET_KERNELS_SAMPLING_SAMPLING_SIMD_H_
#define FACET_KERNELS_SAMPLING_SAMPLING_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/sampling/sampling_variants.h"

namespace facet {
namespace FACET_SIMD {

inline constexpr float kNothing = -__builtin_inff();

// Max() takes its second operand where the first is a NaN.
FACET_INLINE float MaxOf(const float* x, int64_t count) {
  F32x16 max = Set(kNothing);
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    max = Max(LoadNOr(x + i, n, kNothing), max);
  });
  return ReduceMax(max);
}

FACET_INLINE float SumExpOf(const float* x, int64_t count, float max) {
  F32x16 sum = Zero();
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    sum = sum + Exp(LoadNOr(x + i, n, kNothing) - Set(max));
  });
  return ReduceAdd(sum);
}

FACET_INLINE void WeighAll(float* x, int64_t count, float best,
                           float temperature) {
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    const F32x16 logit = Max(LoadN(x + i, n), Set(kNothing));
    StoreN(Exp((logit - Set(best)) / Set(temperature)), x + i, n);
  });
}

typedef float F32x8 __attribute__((vector_size(32)));
typedef double F64x8 __attribute__((vector_size(64)));

// Adding and taking away 1.5 * 2^12 rounds an f64 below 2^12 to units of 2^-40;
// 4096 such numbers up to 1 add up without another rounding.
FACET_INLINE uint64_t MassOf(const float* weights, int64_t count) {
  F64x8 sum = {};
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    float buffer[16];
    const float* from = weights + i;
    if (n < 16) {
      Store(LoadN(from, n), buffer);
      from = buffer;
    }
    for (int half = 0; half < 16; half += 8) {
      F32x8 narrow;
      std::memcpy(&narrow, from + half, sizeof(narrow));
      const F64x8 wide = __builtin_convertvector(narrow, F64x8);
      sum += (wide + 0x1.8p12) - 0x1.8p12;
    }
  });
  double total = 0;
  for (int i = 0; i < 8; ++i) total += sum[i];
  return static_cast<uint64_t>(total * 0x1p40);
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_SAMPLING_SIMD_H_
