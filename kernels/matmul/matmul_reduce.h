// From vectors of lanes to the numbers of a tile of outputs.
#ifndef FACET_KERNELS_MATMUL_MATMUL_REDUCE_H_
#define FACET_KERNELS_MATMUL_MATMUL_REDUCE_H_

#include "kernels/base/simd.h"

namespace facet {
namespace FACET_SIMD {

// Sums of four vectors' 8 lanes each, in ReduceAdd()'s order.
FACET_INLINE __m128 Reduce4(__m256 a, __m256 b, __m256 c, __m256 d) {
  const auto fold = [](__m256 v) {
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  };
  __m128 r0 = fold(a), r1 = fold(b), r2 = fold(c), r3 = fold(d);
  _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
  return _mm_add_ps(_mm_add_ps(r0, r2), _mm_add_ps(r1, r3));
}

// out[i * out_stride + j] = the sum of folded[i * NR + j].
template <int MR, int NR>
FACET_INLINE void ReduceTile(const __m256* folded, float* out,
                             int64_t out_stride) {
  constexpr int kCount = MR * NR;
  alignas(16) float sums[(kCount + 3) / 4 * 4];
#pragma GCC unroll 8
  for (int q = 0; q < kCount; q += 4) {
    const __m256 z = _mm256_setzero_ps();
    _mm_store_ps(sums + q,
                 Reduce4(folded[q], q + 1 < kCount ? folded[q + 1] : z,
                         q + 2 < kCount ? folded[q + 2] : z,
                         q + 3 < kCount ? folded[q + 3] : z));
  }
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) out[i * out_stride + j] = sums[i * NR + j];
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_REDUCE_H_
