// Tiles of AVX2. An output is two registers of 16. With one or two rows of x,
// where weights stream from memory, a tile takes both at once. With more it
// runs twice, over lanes 0-7 and then 8-15 of every 16 k, so that 3 x 3 to 6 x
// 2 outputs fit; as each run touches every cache line, x must then stay in the
// first-level cache, and k is walked in pieces.
#ifndef FACET_KERNELS_MATMUL_MATMUL_TILE_AVX2_H_
#define FACET_KERNELS_MATMUL_MATMUL_TILE_AVX2_H_

#include "kernels/matmul/matmul_tile.h"

namespace facet {
namespace FACET_SIMD {

inline constexpr int kTileM = 5;
template <int MR>
inline constexpr int kTileN = MR <= 3 ? 3 : 2;
template <int MR>
inline constexpr int64_t kTileK = MR <= 2 ? 0 : kMatmulMaxPiece;

FACET_INLINE __m256 Load8(const float* p) { return _mm256_loadu_ps(p); }
// Widening by one shuffle of bytes: the load itself puts all eight numbers into
// both halves of the register.
FACET_INLINE __m256 Load8(const BF16* p) {
  const __m256i upper_halves = _mm256_set_epi8(
      15, 14, -1, -1, 13, 12, -1, -1, 11, 10, -1, -1, 9, 8, -1, -1,  //
      7, 6, -1, -1, 5, 4, -1, -1, 3, 2, -1, -1, 1, 0, -1, -1);
  return _mm256_castsi256_ps(_mm256_shuffle_epi8(
      _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
      upper_halves));
}

// What HalfTile() reads: for each half of the lanes and each 16 k, 8 numbers of
// every row. Numbers in a row alone would meet in the same banks of the cache.
template <int MR>
void PackForHalves(const float* const* x, int64_t k, float* packed) {
  const int64_t steps = (k + 15) / 16;
  for (int i = 0; i < MR; ++i) {
    float* low = packed + 8 * i;
    float* high = low + steps * MR * 8;
    int64_t at = 0;
    for (; at + 16 <= k; at += 16) {
      _mm256_storeu_ps(low + at / 2 * MR, _mm256_loadu_ps(x[i] + at));
      _mm256_storeu_ps(high + at / 2 * MR, _mm256_loadu_ps(x[i] + at + 8));
    }
    if (at < k) {
      const F32x16 tail = LoadPartial(x[i] + at, static_cast<int>(k - at));
      _mm256_storeu_ps(low + at / 2 * MR, tail.lo);
      _mm256_storeu_ps(high + at / 2 * MR, tail.hi);
    }
  }
}

// acc[i * NR + j] += the products of lanes 8 * half to 8 * half + 7.
template <int MR, int NR, int P, typename W>
FACET_INLINE void HalfTile(const TileArgs<MR, float, W>& tile, int half,
                           __m256* acc) {
  const float* x = tile.x[0] + half * ((tile.k + 15) / 16) * MR * 8;
  const auto step = [&](const auto& load) __attribute__((always_inline)) {
    __m256 wv[NR];
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) wv[j] = load(j);
#pragma GCC unroll 5
    for (int i = 0; i < MR; ++i) {
      __m256 xv = _mm256_loadu_ps(x + 8 * i);
      // Loaded once, not as an operand of every multiply-add.
      asm("" : "+x"(xv));
#pragma GCC unroll 3
      for (int j = 0; j < NR; ++j) {
        acc[i * NR + j] = _mm256_fmadd_ps(xv, wv[j], acc[i * NR + j]);
      }
    }
    x += MR * 8;
  };
  constexpr int kLine = kWeightsPerLine<W>;
  const W* w = tile.w + 8 * half;
  int64_t at = 0;
  for (; at + kLine <= tile.k; at += kLine) {
    AskFor<P>(tile, at);
#pragma GCC unroll 2
    for (int s = 0; s < kLine; s += 16) {
      step([&](int j) __attribute__((always_inline)) {
        return Load8(w + j * tile.w_stride + at + s);
      });
    }
  }
  for (; at + 16 <= tile.k; at += 16) {
    step([&](int j) __attribute__((always_inline)) {
      return Load8(w + j * tile.w_stride + at);
    });
  }
  if (const int tail = static_cast<int>(tile.k - at); tail > 0) {
    step([&](int j) __attribute__((always_inline)) {
      const F32x16 wv = LoadPartial(tile.w + j * tile.w_stride + at, tail);
      return half == 0 ? wv.lo : wv.hi;
    });
  }
}

template <int MR, int NR, int P, typename W>
FACET_INLINE void TileByHalves(const TileArgs<MR, float, W>& tile) {
  constexpr int kCount = MR * NR;
  __m256 halves[2][kCount];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    __m256 acc[kCount];
    float* carry = tile.carry + half * 8 * kCount;
#pragma GCC unroll 10
    for (int q = 0; q < kCount; ++q) {
      acc[q] =
          tile.first ? _mm256_setzero_ps() : _mm256_loadu_ps(carry + 8 * q);
    }
    if (half == 0) {
      HalfTile<MR, NR, P>(tile, 0, acc);
    } else {
      HalfTile<MR, NR, 0>(tile, 1, acc);
    }
#pragma GCC unroll 10
    for (int q = 0; q < kCount; ++q) {
      if (tile.last) {
        halves[half][q] = acc[q];
      } else {
        _mm256_storeu_ps(carry + 8 * q, acc[q]);
      }
    }
  }
  if (!tile.last) return;
  __m256 folded[kCount];
#pragma GCC unroll 10
  for (int q = 0; q < kCount; ++q) {
    folded[q] = _mm256_add_ps(halves[0][q], halves[1][q]);
  }
  ReduceTile<MR, NR>(folded, tile.out, tile.out_stride);
}

template <int MR, int NR, int P, typename W>
FACET_INLINE void WholeTile(const TileArgs<MR, float, W>& tile) {
  F32x16 acc[MR][NR];
#pragma GCC unroll 2
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) acc[i][j] = Zero();
  }
  const auto step = [&](int64_t at) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) {
      const W* w = tile.w + j * tile.w_stride + at;
      // Registers for a shuffle's pattern are there for one row of x only.
      const F32x16 wv = MR == 1 ? F32x16{Load8(w), Load8(w + 8)} : Load(w);
#pragma GCC unroll 2
      for (int i = 0; i < MR; ++i) {
        acc[i][j] = Fma(Load(tile.x[i] + at), wv, acc[i][j]);
      }
    }
  };
  constexpr int kLine = kWeightsPerLine<W>;
  int64_t at = 0;
  for (; at + kLine <= tile.k; at += kLine) {
    AskFor<P>(tile, at);
#pragma GCC unroll 2
    for (int s = 0; s < kLine; s += 16) step(at + s);
  }
  for (; at + 16 <= tile.k; at += 16) step(at);
  if (const int tail = static_cast<int>(tile.k - at); tail > 0) {
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) {
      const F32x16 wv = LoadPartial(tile.w + j * tile.w_stride + at, tail);
#pragma GCC unroll 2
      for (int i = 0; i < MR; ++i) {
        acc[i][j] = Fma(LoadPartial(tile.x[i] + at, tail), wv, acc[i][j]);
      }
    }
  }
  __m256 folded[MR * NR];
#pragma GCC unroll 2
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < NR; ++j) folded[i * NR + j] = FoldHalves(acc[i][j]);
  }
  ReduceTile<MR, NR>(folded, tile.out, tile.out_stride);
}

template <int MR, int NR, int P, typename W>
FACET_INLINE void Tile(const TileArgs<MR, float, W>& tile) {
  if constexpr (kTileK<MR> == 0) {
    WholeTile<MR, NR, P>(tile);
  } else {
    TileByHalves<MR, NR, P>(tile);
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_TILE_AVX2_H_
