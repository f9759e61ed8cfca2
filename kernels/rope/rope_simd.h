// The loops of the AVX2 and AVX-512 variants.
#ifndef FACET_KERNELS_ROPE_ROPE_SIMD_H_
#define FACET_KERNELS_ROPE_ROPE_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/rope/rope_variants.h"

namespace facet {
namespace FACET_SIMD {

inline void RotateTokens(const RopeArgs& args, int64_t begin, int64_t end) {
  const int64_t half = args.head_dim / 2;
  const F32x16 minus_one = Set(-1.0f);
  for (int64_t t = begin; t < end; ++t) {
    const float* cos = args.cos + t * args.rotated_pairs;
    const float* sin = args.sin + t * args.rotated_pairs;
    float* token = args.x + t * args.token_stride;
    ForEach16(args.rotated_pairs, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
      const F32x16 c = LoadN(cos + i, n);
      const F32x16 s = LoadN(sin + i, n);
      const F32x16 minus_s = s * minus_one;
      for (int h = 0; h < args.heads; ++h) {
        float* first = token + int64_t{h} * args.head_dim + i;
        float* second = first + half;
        const F32x16 a = LoadN(first, n);
        const F32x16 b = LoadN(second, n);
        StoreN(Fma(a, c, b * minus_s), first, n);
        StoreN(Fma(b, c, a * s), second, n);
      }
    });
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_ROPE_ROPE_SIMD_H_
