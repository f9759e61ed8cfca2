// The loops of the AVX2 and AVX-512 variants: register tiles of MR rows of x by
// NR rows of w, each output a vector of lanes that walks k. A tile reads both
// operands along k as they lie in memory, so nothing is packed or transposed
// and the mapped checkpoint stays the only copy of the weights.
//
// AVX-512: 4 x 6 tiles, one register per output (24 of 32). AVX2 would need two
// registers per output; instead each tile runs twice, over lanes 0-7 and 8-15
// of every 16 k, as 4 x 3 tiles (12 of 16 registers).
#ifndef FACET_KERNELS_MATMUL_MATMUL_SIMD_H_
#define FACET_KERNELS_MATMUL_MATMUL_SIMD_H_

#include "kernels/base/simd.h"
#include "kernels/matmul/matmul_variants.h"

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

// Brings 64 bytes to the second-level cache, `ahead` weights behind the ones
// being used. With few rows of x the weights stream from memory and the
// hardware does not follow several short streams; the first level is left to x
// (on Zen 4 a third faster than prefetching there, and a tenth faster than line
// by line across rows).
template <typename W>
FACET_INLINE void PrefetchAhead(const W* weights, int64_t ahead) {
  _mm_prefetch(reinterpret_cast<const char*>(weights + ahead), _MM_HINT_T1);
}

// Whole tiles of rows that are at least kAheadBytes: how far ahead to prefetch.
template <typename W>
FACET_INLINE int64_t WeightsAhead(int tile_rows, int64_t row_weights,
                                  int64_t w_stride) {
  constexpr int64_t kAheadBytes = 8 << 10;
  const int64_t tile_bytes =
      tile_rows * row_weights * static_cast<int64_t>(sizeof(W));
  const int64_t tiles = (kAheadBytes + tile_bytes - 1) / tile_bytes;
  return tiles * tile_rows * w_stride;
}

#if defined(__AVX512F__)

inline constexpr int kTileM = 4;
inline constexpr int kTileN = 6;

template <int MR, int NR, bool kPrefetch, typename W>
FACET_INLINE void Tile(const float* const* x, const W* w, int64_t w_stride,
                       int64_t k, int64_t ahead, float* out,
                       int64_t out_stride) {
  F32x16 acc[MR][NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) acc[i][j] = Zero();
  }
  const auto step = [&](int64_t at) __attribute__((always_inline)) {
    F32x16 wv[NR];
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) wv[j] = Load(w + j * w_stride + at);
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const F32x16 xv = Load(x[i] + at);
#pragma GCC unroll 6
      for (int j = 0; j < NR; ++j) acc[i][j] = Fma(xv, wv[j], acc[i][j]);
    }
  };
  constexpr int kLine = 64 / sizeof(W);
  int64_t at = 0;
  if constexpr (kPrefetch) {
    for (; at + kLine <= k; at += kLine) {
#pragma GCC unroll 6
      for (int j = 0; j < NR; ++j) {
        PrefetchAhead(w + j * w_stride + at, ahead);
      }
#pragma GCC unroll 2
      for (int s = 0; s < kLine; s += 16) step(at + s);
    }
  }
  for (; at + 16 <= k; at += 16) step(at);
  if (const int tail = static_cast<int>(k - at); tail > 0) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) {
      const F32x16 wv = LoadPartial(w + j * w_stride + at, tail);
#pragma GCC unroll 4
      for (int i = 0; i < MR; ++i) {
        acc[i][j] = Fma(LoadPartial(x[i] + at, tail), wv, acc[i][j]);
      }
    }
  }
  __m256 folded[MR * NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) folded[i * NR + j] = FoldHalves(acc[i][j]);
  }
  ReduceTile<MR, NR>(folded, out, out_stride);
}

#else

inline constexpr int kTileM = 4;
inline constexpr int kTileN = 3;

FACET_INLINE __m256 Load8(const float* p) { return _mm256_loadu_ps(p); }
FACET_INLINE __m256 Load8(const BF16* p) {
  return Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

template <int MR, int NR, bool kPrefetch, typename W>
FACET_INLINE void HalfTile(const float* const* x, const W* w, int64_t w_stride,
                           int64_t k, int64_t ahead, int64_t half,
                           __m256* acc) {
#pragma GCC unroll 12
  for (int q = 0; q < MR * NR; ++q) acc[q] = _mm256_setzero_ps();
  constexpr int kLine = 64 / sizeof(W);
  int64_t at = 0;
  for (; at + 16 <= k; at += 16) {
    __m256 wv[NR];
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) {
      wv[j] = Load8(w + j * w_stride + at + 8 * half);
      if constexpr (kPrefetch) {
        if (at % kLine == 0) PrefetchAhead(w + j * w_stride + at, ahead);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const __m256 xv = _mm256_loadu_ps(x[i] + at + 8 * half);
#pragma GCC unroll 3
      for (int j = 0; j < NR; ++j) {
        acc[i * NR + j] = _mm256_fmadd_ps(xv, wv[j], acc[i * NR + j]);
      }
    }
  }
  if (const int tail = static_cast<int>(k - at); tail > 0) {
    for (int j = 0; j < NR; ++j) {
      const F32x16 wv = LoadPartial(w + j * w_stride + at, tail);
      for (int i = 0; i < MR; ++i) {
        const F32x16 xv = LoadPartial(x[i] + at, tail);
        acc[i * NR + j] = half == 0
                              ? _mm256_fmadd_ps(xv.lo, wv.lo, acc[i * NR + j])
                              : _mm256_fmadd_ps(xv.hi, wv.hi, acc[i * NR + j]);
      }
    }
  }
}

// Few rows of x: both halves at once, so that w is read once.
template <int MR, int NR, bool kPrefetch, typename W>
FACET_INLINE void Tile(const float* const* x, const W* w, int64_t w_stride,
                       int64_t k, int64_t ahead, float* out,
                       int64_t out_stride) {
  __m256 folded[MR * NR];
  if constexpr (MR == 1) {
    F32x16 acc[NR];
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) acc[j] = Zero();
    constexpr int kLine = 64 / sizeof(W);
    int64_t at = 0;
    for (; at + 16 <= k; at += 16) {
      const F32x16 xv = Load(x[0] + at);
#pragma GCC unroll 3
      for (int j = 0; j < NR; ++j) {
        if constexpr (kPrefetch) {
          if (at % kLine == 0) PrefetchAhead(w + j * w_stride + at, ahead);
        }
        acc[j] = Fma(xv, Load(w + j * w_stride + at), acc[j]);
      }
    }
    if (const int tail = static_cast<int>(k - at); tail > 0) {
      const F32x16 xv = LoadPartial(x[0] + at, tail);
      for (int j = 0; j < NR; ++j) {
        acc[j] = Fma(xv, LoadPartial(w + j * w_stride + at, tail), acc[j]);
      }
    }
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) folded[j] = FoldHalves(acc[j]);
  } else {
    __m256 high[MR * NR];
    HalfTile<MR, NR, kPrefetch>(x, w, w_stride, k, ahead, 0, folded);
    HalfTile<MR, NR, false>(x, w, w_stride, k, ahead, 1, high);
#pragma GCC unroll 12
    for (int q = 0; q < MR * NR; ++q) {
      folded[q] = _mm256_add_ps(folded[q], high[q]);
    }
  }
  ReduceTile<MR, NR>(folded, out, out_stride);
}

#endif

#if defined(__AVX512BF16__)

FACET_INLINE __m512bh LoadBh(const BF16* p) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
}
FACET_INLINE __m512bh LoadBhPartial(const BF16* p, int n) {
  return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(
      static_cast<__mmask32>((uint64_t{1} << n) - 1), p));
}

// Lane l takes the pair (2 l, 2 l + 1) of every 32 k.
template <int MR, int NR, bool kPrefetch, typename W>
FACET_INLINE void Tile(const BF16* const* x, const W* w, int64_t w_stride,
                       int64_t k, int64_t ahead, float* out,
                       int64_t out_stride) {
  __m512 acc[MR][NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) acc[i][j] = _mm512_setzero_ps();
  }
  int64_t at = 0;
  for (; at + 32 <= k; at += 32) {
    __m512bh wv[NR];
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) {
      wv[j] = LoadBh(w + j * w_stride + at);
      if constexpr (kPrefetch) {
        PrefetchAhead(w + j * w_stride + at, ahead);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const __m512bh xv = LoadBh(x[i] + at);
#pragma GCC unroll 6
      for (int j = 0; j < NR; ++j) {
        acc[i][j] = _mm512_dpbf16_ps(acc[i][j], xv, wv[j]);
      }
    }
  }
  if (const int tail = static_cast<int>(k - at); tail > 0) {
    for (int j = 0; j < NR; ++j) {
      const __m512bh wv = LoadBhPartial(w + j * w_stride + at, tail);
      for (int i = 0; i < MR; ++i) {
        acc[i][j] =
            _mm512_dpbf16_ps(acc[i][j], LoadBhPartial(x[i] + at, tail), wv);
      }
    }
  }
  __m256 folded[MR * NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) {
      folded[i * NR + j] = FoldHalves(F32x16{acc[i][j]});
    }
  }
  ReduceTile<MR, NR>(folded, out, out_stride);
}

FACET_INLINE void RoundRow(const float* x, int64_t k, BF16* out) {
  int64_t at = 0;
  for (; at + 16 <= k; at += 16) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out + at),
        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x + at))));
  }
  for (; at < k; ++at) out[at] = ToBF16(x[at]);
}

#endif

FACET_INLINE void RoundRow(const float* x, int64_t k, float* out) {
  for (int64_t at = 0; at < k; ++at) out[at] = ToFloat(ToBF16(x[at]));
}

// All tiles of MR rows of x by the rows [0, n) of w, each cut into `segments`
// parts of `part` along k; the sums of part s go to out + s * segment_stride,
// [MR, n]. Rows of w are walked as they lie in memory, and what lies `ahead`
// weights behind each is prefetched.
template <int MR, bool kPrefetch, typename X, typename W>
void Strip(const X* const* x, const W* w, int64_t w_stride, int64_t n,
           int64_t part, int segments, int64_t ahead, float* out,
           int64_t out_stride, int64_t segment_stride) {
  const auto tile = [&]<int NR>(int64_t j) __attribute__((always_inline)) {
    const X* xs[MR];
    for (int i = 0; i < MR; ++i) xs[i] = x[i];
    for (int s = 0; s < segments; ++s) {
      Tile<MR, NR, kPrefetch>(xs, w + j * w_stride + s * part, w_stride, part,
                              ahead, out + s * segment_stride + j, out_stride);
      for (int i = 0; i < MR; ++i) xs[i] += part;
    }
  };
  int64_t j = 0;
  for (; j + kTileN <= n; j += kTileN) tile.template operator()<kTileN>(j);
  for (; j < n; ++j) tile.template operator()<1>(j);
}

template <bool kPrefetch, typename X, typename W>
FACET_INLINE void StripOf(int rows, const X* const* x, const W* w,
                          int64_t w_stride, int64_t n, int64_t part,
                          int segments, float* out, int64_t out_stride,
                          int64_t segment_stride) {
  const int64_t ahead = WeightsAhead<W>(kTileN, part * segments, w_stride);
  switch (rows) {
    case 1:
      return Strip<1, kPrefetch>(x, w, w_stride, n, part, segments, ahead, out,
                                 out_stride, segment_stride);
    case 2:
      return Strip<2, kPrefetch>(x, w, w_stride, n, part, segments, ahead, out,
                                 out_stride, segment_stride);
    case 3:
      return Strip<3, kPrefetch>(x, w, w_stride, n, part, segments, ahead, out,
                                 out_stride, segment_stride);
    default:
      return Strip<4, kPrefetch>(x, w, w_stride, n, part, segments, ahead, out,
                                 out_stride, segment_stride);
  }
}

// X is float, or BF16 where a dot-product instruction takes pairs.
// scratch: partial sums [segments, kTileM, n], then rounded rows of x.
template <typename X, typename W>
void MatmulBlock(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                 float* scratch) {
  const int64_t n = n_end - n_begin;
  const int64_t part = args.k / args.segments;
  const W* w = static_cast<const W*>(args.w) + n_begin * args.w_stride;
  float* partial = scratch;
  X* rounded = reinterpret_cast<X*>(scratch + args.segments * kTileM * n);
  for (int64_t m = 0; m < args.m; m += kTileM) {
    const int rows =
        static_cast<int>(args.m - m < kTileM ? args.m - m : kTileM);
    const X* x[kTileM];
    for (int i = 0; i < rows; ++i) {
      const int64_t row = args.x_rows != nullptr ? args.x_rows[m + i] : m + i;
      const float* source = args.x + row * args.x_stride;
      if (args.bf16_inputs) {
        RoundRow(source, args.k, rounded + i * args.k);
        x[i] = rounded + i * args.k;
      } else {
        x[i] = reinterpret_cast<const X*>(source);
      }
    }
    const bool direct = args.segments == 1;
    float* out = direct ? args.y + m * args.y_stride + n_begin : partial;
    const int64_t out_stride = direct ? args.y_stride : n;
    // Later rows of x find w in the cache.
    if (m == 0) {
      StripOf<true>(rows, x, w, args.w_stride, n, part, args.segments, out,
                    out_stride, kTileM * n);
    } else {
      StripOf<false>(rows, x, w, args.w_stride, n, part, args.segments, out,
                     out_stride, kTileM * n);
    }
    if (direct) continue;
    for (int step = 1; step < args.segments; step *= 2) {
      for (int s = 0; s < args.segments; s += 2 * step) {
        float* a = partial + s * kTileM * n;
        const float* b = partial + (s + step) * kTileM * n;
        for (int64_t q = 0; q < rows * n; ++q) a[q] += b[q];
      }
    }
    for (int i = 0; i < rows; ++i) {
      std::memcpy(args.y + (m + i) * args.y_stride + n_begin, partial + i * n,
                  n * sizeof(float));
    }
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_SIMD_H_
