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

#if defined(__AVX512F__)

// The first of ReduceAdd()'s four additions of two vectors at once, in one
// register; the next three of two such registers each. A blend takes from both
// what stays, one shuffle what is added to it.
FACET_INLINE __m512 Fold8(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_mask_blend_ps(0xff00, a, b),
                       _mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(1, 0, 3, 2)));
}
FACET_INLINE __m512 Fold4(__m512 a, __m512 b) {
  const __m512 other = _mm512_mask_blend_ps(0x0f0f, a, b);
  return _mm512_add_ps(
      _mm512_mask_blend_ps(0xf0f0, a, b),
      _mm512_shuffle_f32x4(other, other, _MM_SHUFFLE(2, 3, 0, 1)));
}
FACET_INLINE __m512 Fold2(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, a, b),
                       _mm512_castpd_ps(_mm512_shuffle_pd(
                           _mm512_castps_pd(a), _mm512_castps_pd(b), 0x55)));
}
FACET_INLINE __m512 Fold1(__m512 a, __m512 b) {
  const __m512 other = _mm512_mask_blend_ps(0x5555, a, b);
  return _mm512_add_ps(_mm512_mask_blend_ps(0xaaaa, a, b),
                       _mm512_permute_ps(other, _MM_SHUFFLE(2, 3, 0, 1)));
}

// Eight vectors up to the last addition, whose pairs of lanes belong to the
// vectors 0, 2, 4, 6, 1, 3, 5, 7.
FACET_INLINE __m512 FoldEight(__m512 a, __m512 b, __m512 c, __m512 d, __m512 e,
                              __m512 f, __m512 g, __m512 h) {
  return Fold2(Fold4(Fold8(a, b), Fold8(c, d)),
               Fold4(Fold8(e, f), Fold8(g, h)));
}

// Lane q: the sum of vector q.
FACET_INLINE __m512 Reduce16(const F32x16* v) {
  return Fold1(FoldEight(v[0].v, v[8].v, v[4].v, v[12].v, v[2].v, v[10].v,
                         v[6].v, v[14].v),
               FoldEight(v[1].v, v[9].v, v[5].v, v[13].v, v[3].v, v[11].v,
                         v[7].v, v[15].v));
}
FACET_INLINE __m512 Reduce8(const F32x16* v) {
  const __m512 pairs =
      FoldEight(v[0].v, v[4].v, v[2].v, v[6].v, v[1].v, v[5].v, v[3].v, v[7].v);
  return _mm512_permutexvar_ps(
      _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 14, 12, 10, 8, 6, 4, 2, 0),
      Fold1(pairs, pairs));
}

// Lanes [16 * group, 16 * group + lanes) of all sums, row by row, to where they
// belong.
template <int MR, int NR, int group, int lanes>
FACET_INLINE void StoreSums(__m512 sums, float* out, int64_t out_stride) {
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
    const int begin = i * NR - 16 * group;  // the row's, in this register
    const int from = begin < 0 ? 0 : begin;
    const int to = begin + NR < lanes ? begin + NR : lanes;
    if (from >= to) continue;
    _mm512_mask_storeu_ps(out + i * out_stride - begin,
                          static_cast<__mmask16>((1u << to) - (1u << from)),
                          sums);
  }
}

// out[i * out_stride + j] = the sum of acc[i * NR + j].
template <int MR, int NR>
FACET_INLINE void ReduceTile(const F32x16* acc, float* out,
                             int64_t out_stride) {
  constexpr int kCount = MR * NR;
  constexpr int kRest = kCount % 16;
  if constexpr (NR == 1) {
    __m256 folded[kCount];
#pragma GCC unroll 4
    for (int q = 0; q < kCount; ++q) folded[q] = FoldHalves(acc[q]);
    ReduceTile<MR, NR>(folded, out, out_stride);
  } else {
    if constexpr (kCount >= 16) {
      StoreSums<MR, NR, 0, 16>(Reduce16(acc), out, out_stride);
    }
    if constexpr (kRest > 0) {
      constexpr int kWidth = kRest > 8 ? 16 : 8;
      F32x16 rest[kWidth];
#pragma GCC unroll 16
      for (int q = 0; q < kWidth; ++q) {
        rest[q] = acc[q < kRest ? kCount - kRest + q : kCount - 1];
      }
      StoreSums<MR, NR, kCount / 16, kRest>(
          kWidth == 16 ? Reduce16(rest) : Reduce8(rest), out, out_stride);
    }
  }
}

#endif

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_REDUCE_H_
