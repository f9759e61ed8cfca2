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

FACET_INLINE void SoftenAll(float* x, int64_t count, float best,
                            float temperature) {
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    StoreN(Exp((LoadN(x + i, n) - Set(best)) / Set(temperature)), x + i, n);
  });
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_SAMPLING_SIMD_H_
