// The loops of the AVX2 and AVX-512 variants.
#ifndef FACET_KERNELS_RMS_NORM_RMS_NORM_SIMD_H_
#define FACET_KERNELS_RMS_NORM_RMS_NORM_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/rms_norm/rms_norm_variants.h"

namespace facet {
namespace FACET_SIMD {

FACET_INLINE float Sqrt(float x) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

// A weight or scale that is absent counts as one: multiplying by it is exact.
FACET_INLINE void NormRow(const RmsNormArgs& args, const float* x,
                          const float* residual, float* y) {
  F32x16 squares = Zero();
  ForEach16(args.width, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    const F32x16 v = LoadN(x + i, n);
    squares = Fma(v, v, squares);
  });
  const float mean = ReduceAdd(squares) / static_cast<float>(args.width);
  const F32x16 inverse = Set(1.0f / Sqrt(mean + args.epsilon));
  const F32x16 output_scale = Set(args.output_scale);
  const float* weight = args.weight;
  ForEach16(args.width, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    F32x16 v = LoadN(x + i, n) * inverse;
    if (weight != nullptr) v = v * LoadN(weight + i, n);
    if (residual != nullptr) v = LoadN(residual + i, n) + v;
    StoreN(v * output_scale, y + i, n);
  });
}

inline void NormRows(const RmsNormArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    NormRow(
        args, args.x + t * args.x_stride,
        args.residual != nullptr ? args.residual + t * args.y_stride : nullptr,
        args.y + t * args.y_stride);
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_RMS_NORM_RMS_NORM_SIMD_H_
