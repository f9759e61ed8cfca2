// Tiles of AVX-512: one register per output, 4 x 6 of 32. Where x lies, in the
// first cache or the second, makes no difference here: a tile needs ten loads
// for 24 multiply-adds.
#ifndef FACET_KERNELS_MATMUL_MATMUL_TILE_AVX512_H_
#define FACET_KERNELS_MATMUL_MATMUL_TILE_AVX512_H_

#include "kernels/matmul/matmul_tile.h"

namespace facet {
namespace FACET_SIMD {

inline constexpr int kTileM = 4;
template <int MR>
inline constexpr int kTileN = 6;
// Most k of one call; rows are walked whole.
template <int MR>
inline constexpr int64_t kTileK = 0;

template <int MR, int NR, int P, typename W>
FACET_INLINE void Tile(const TileArgs<MR, float, W>& tile) {
  F32x16 acc[MR][NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) acc[i][j] = Zero();
  }
  const auto step = [&](int64_t at) __attribute__((always_inline)) {
    F32x16 wv[NR];
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) {
      wv[j] = Load(tile.w + j * tile.w_stride + at);
    }
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const F32x16 xv = Load(tile.x[i] + at);
#pragma GCC unroll 6
      for (int j = 0; j < NR; ++j) acc[i][j] = Fma(xv, wv[j], acc[i][j]);
    }
  };
  constexpr int kLine = kWeightsPerLine<W>;
  int64_t at = 0;
  if constexpr (P > 0) {
    for (; at + kLine <= tile.k; at += kLine) {
      AskFor<P>(tile, at);
#pragma GCC unroll 2
      for (int s = 0; s < kLine; s += 16) step(at + s);
    }
  }
  for (; at + 16 <= tile.k; at += 16) step(at);
  if (const int tail = static_cast<int>(tile.k - at); tail > 0) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) {
      const F32x16 wv = LoadPartial(tile.w + j * tile.w_stride + at, tail);
#pragma GCC unroll 4
      for (int i = 0; i < MR; ++i) {
        acc[i][j] = Fma(LoadPartial(tile.x[i] + at, tail), wv, acc[i][j]);
      }
    }
  }
  F32x16 lanes[MR * NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) lanes[i * NR + j] = acc[i][j];
  }
  ReduceTile<MR, NR>(lanes, tile.out, tile.out_stride);
}

#if defined(__AVX512BF16__)

FACET_INLINE __m512bh LoadBh(const BF16* p) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
}
FACET_INLINE __m512bh LoadBhPartial(const BF16* p, int n) {
  return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(
      static_cast<__mmask32>((uint64_t{1} << n) - 1), p));
}

// Lane l takes the pair (2 l, 2 l + 1) of every 32 k.
template <int MR, int NR, int P, typename W>
FACET_INLINE void Tile(const TileArgs<MR, BF16, W>& tile) {
  __m512 acc[MR][NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) acc[i][j] = _mm512_setzero_ps();
  }
  int64_t at = 0;
  for (; at + 32 <= tile.k; at += 32) {
    AskFor<P>(tile, at);
    __m512bh wv[NR];
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) {
      wv[j] = LoadBh(tile.w + j * tile.w_stride + at);
    }
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const __m512bh xv = LoadBh(tile.x[i] + at);
#pragma GCC unroll 6
      for (int j = 0; j < NR; ++j) {
        acc[i][j] = _mm512_dpbf16_ps(acc[i][j], xv, wv[j]);
      }
    }
  }
  if (const int tail = static_cast<int>(tile.k - at); tail > 0) {
    for (int j = 0; j < NR; ++j) {
      const __m512bh wv = LoadBhPartial(tile.w + j * tile.w_stride + at, tail);
      for (int i = 0; i < MR; ++i) {
        acc[i][j] = _mm512_dpbf16_ps(acc[i][j],
                                     LoadBhPartial(tile.x[i] + at, tail), wv);
      }
    }
  }
  F32x16 lanes[MR * NR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 6
    for (int j = 0; j < NR; ++j) lanes[i * NR + j] = F32x16{acc[i][j]};
  }
  ReduceTile<MR, NR>(lanes, tile.out, tile.out_stride);
}

#endif

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_TILE_AVX512_H_
