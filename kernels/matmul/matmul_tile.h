// One tile of a product: MR rows of x by NR rows of w, each output a vector of
// lanes that walks k. Both operands are read along k as they lie in memory, so
// nothing is packed or transposed and the mapped checkpoint stays the only copy
// of the weights.
#ifndef FACET_KERNELS_MATMUL_MATMUL_TILE_H_
#define FACET_KERNELS_MATMUL_MATMUL_TILE_H_

#include "kernels/base/simd.h"
#include "kernels/matmul/matmul_reduce.h"
#include "kernels/matmul/matmul_variants.h"

namespace facet {
namespace FACET_SIMD {

template <int MR, typename X, typename W>
struct TileArgs {
  const X* x[MR];
  const W* w;
  int64_t w_stride;
  int64_t k;
  // As the tile walks k it asks for as many bytes of each of P rows from here.
  const uint8_t* ahead;
  int64_t ahead_stride;
  float* out;  // [MR, NR]
  int64_t out_stride;
  // Where k is walked in several calls: lanes of all outputs, MR * NR * 16
  // floats, and which of the calls this is. Null: one call.
  float* carry;
  bool first;
  bool last;
};

// Brings 64 bytes to the second-level cache. With few rows of x the weights
// stream from memory and the hardware does not follow several short streams;
// the first level is left to x (on Zen 4 a third faster than prefetching there,
// and a tenth faster than line by line across rows).
template <typename W>
FACET_INLINE void PrefetchAhead(const W* weights, int64_t ahead) {
  _mm_prefetch(reinterpret_cast<const char*>(weights + ahead), _MM_HINT_T1);
}

template <int P, int MR, typename X, typename W>
FACET_INLINE void AskFor(const TileArgs<MR, X, W>& tile, int64_t at) {
#pragma GCC unroll 6
  for (int p = 0; p < P; ++p) {
    PrefetchAhead(tile.ahead + p * tile.ahead_stride, at * sizeof(W));
  }
}

template <typename W>
inline constexpr int kWeightsPerLine = 64 / sizeof(W);

}  // namespace FACET_SIMD
}  // namespace facet

#if defined(__AVX512F__)
#include "kernels/matmul/matmul_tile_avx512.h"
#else
#include "kernels/matmul/matmul_tile_avx2.h"
#endif

#endif  // FACET_KERNELS_MATMUL_MATMUL_TILE_H_
