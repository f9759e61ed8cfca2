// The two products of attention, as tiles that live in registers: queries by
// the keys of a block, and weights of a block by its values. Both read keys and
// values as pages hold them, row after row, each as often as there are tiles of
// query rows.
//
// AVX-512 takes eight rows at once, AVX2 four. There a score needs two
// registers, so tiles of three and more rows run twice, over lanes 0-7 and 8-15
// of every 16 elements; values have no order across lanes and go by eight.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_TILES_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_TILES_H_

#include "kernels/attention/attention_variants.h"
#include "kernels/base/simd.h"

namespace facet {
namespace FACET_SIMD {

// Keys whose scores or weights lie side by side in one row.
inline constexpr int kPanelKeys = kAttentionPanel;
inline constexpr int kPanelBlocks = kPanelKeys / kAttentionBlock;

// 64 bytes to the second-level cache, `ahead` elements behind the ones in use.
template <typename T>
FACET_INLINE void FetchAhead(const T* at, int64_t ahead) {
  _mm_prefetch(reinterpret_cast<const char*>(at + ahead), _MM_HINT_T1);
}

// What was loaded stays in its register: GCC would rather load it again for
// each of its uses, and loads are what a tile has to save.
#if defined(__AVX512F__)
FACET_INLINE F32x16 Held(F32x16 a) {
  asm("" : "+v"(a.v));
  return a;
}
#else
FACET_INLINE __m256 Held(__m256 a) {
  asm("" : "+x"(a));
  return a;
}
#endif

// Sums of four vectors' 8 lanes each, in ReduceAdd()'s order.
FACET_INLINE __m128 SumOfFour(__m256 a, __m256 b, __m256 c, __m256 d) {
  const auto fold = [](__m256 v) __attribute__((always_inline)) {
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  };
  __m128 r0 = fold(a), r1 = fold(b), r2 = fold(c), r3 = fold(d);
  _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
  return _mm_add_ps(_mm_add_ps(r0, r2), _mm_add_ps(r1, r3));
}

// out[i * kPanelKeys + j] = the sum of folded[i * NR + j].
template <int MR, int NR>
FACET_INLINE void StoreScores(const __m256* folded, float* out) {
  constexpr int kCount = MR * NR;
  if constexpr (NR % 4 == 0) {
#pragma GCC unroll 16
    for (int t = 0; t < kCount; t += 4) {
      _mm_storeu_ps(
          out + t / NR * kPanelKeys + t % NR,
          SumOfFour(folded[t], folded[t + 1], folded[t + 2], folded[t + 3]));
    }
    return;
  }
  alignas(16) float sums[(kCount + 3) / 4 * 4];
  const __m256 z = _mm256_setzero_ps();
#pragma GCC unroll 16
  for (int t = 0; t < kCount; t += 4) {
    _mm_store_ps(sums + t,
                 SumOfFour(folded[t], t + 1 < kCount ? folded[t + 1] : z,
                           t + 2 < kCount ? folded[t + 2] : z,
                           t + 3 < kCount ? folded[t + 3] : z));
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) out[i * kPanelKeys + j] = sums[i * NR + j];
  }
}

#if defined(__AVX512F__)

inline constexpr int kTileRows = 8;
// By rows: keys of a score tile and vectors of a value tile.
inline constexpr int kTileKeys[] = {0, 8, 8, 8, 6, 0, 0, 0, 3};
inline constexpr int kValueVectors[] = {0, 8, 8, 8, 4, 0, 0, 0, 2};
inline constexpr int kValueLanes = 16;

using ValueVector = F32x16;
template <typename T>
FACET_INLINE ValueVector LoadValues(const T* p) {
  return Held(Load(p));
}
FACET_INLINE void StoreValues(ValueVector a, float* p) { Store(a, p); }
FACET_INLINE ValueVector SetValues(float x) { return Held(Set(x)); }
FACET_INLINE ValueVector ScaleValues(ValueVector a, float c) {
  return a * Set(c);
}
FACET_INLINE ValueVector AddWeighed(ValueVector w, ValueVector v,
                                    ValueVector sum) {
  return Fma(w, v, sum);
}

template <int MR, int NR, bool kFetch, typename T>
FACET_INLINE void ScoreTile(const float* const* q, const T* k, int64_t dim,
                            int64_t ahead, float* out) {
  F32x16 acc[MR][NR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) acc[i][j] = Zero();
  }
  constexpr int kLine = 64 / sizeof(T);
  int64_t at = 0;
  const auto step = [&](int64_t d) __attribute__((always_inline)) {
    F32x16 key[NR];
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) key[j] = Held(Load(k + j * dim + d));
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const F32x16 query = Held(Load(q[i] + d));
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) acc[i][j] = Fma(query, key[j], acc[i][j]);
    }
  };
  if constexpr (kFetch) {
    for (; at + kLine <= dim; at += kLine) {
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) FetchAhead(k + j * dim + at, ahead);
#pragma GCC unroll 2
      for (int s = 0; s < kLine; s += 16) step(at + s);
    }
  }
  for (; at + 16 <= dim; at += 16) step(at);
  if (const int tail = static_cast<int>(dim - at); tail > 0) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      const F32x16 key = LoadPartial(k + j * dim + at, tail);
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        acc[i][j] = Fma(LoadPartial(q[i] + at, tail), key, acc[i][j]);
      }
    }
  }
  __m256 folded[MR * NR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) folded[i * NR + j] = FoldHalves(acc[i][j]);
  }
  StoreScores<MR, NR>(folded, out);
}

#else

inline constexpr int kTileRows = 4;
inline constexpr int kTileKeys[] = {0, 4, 3, 4, 3};
inline constexpr int kValueVectors[] = {0, 8, 4, 4, 2};
inline constexpr int kValueLanes = 8;

struct ValueVector {
  __m256 v;
};
FACET_INLINE ValueVector LoadValues(const float* p) {
  return {Held(_mm256_loadu_ps(p))};
}
FACET_INLINE ValueVector LoadValues(const BF16* p) {
  return {Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
FACET_INLINE void StoreValues(ValueVector a, float* p) {
  _mm256_storeu_ps(p, a.v);
}
FACET_INLINE ValueVector SetValues(float x) {
  return {Held(_mm256_set1_ps(x))};
}
FACET_INLINE ValueVector ScaleValues(ValueVector a, float c) {
  return {_mm256_mul_ps(a.v, _mm256_set1_ps(c))};
}
FACET_INLINE ValueVector AddWeighed(ValueVector w, ValueVector v,
                                    ValueVector sum) {
  return {_mm256_fmadd_ps(w.v, v.v, sum.v)};
}

template <int MR, int NR, bool kFetch, typename T>
FACET_INLINE void HalfScoreTile(const float* const* q, const T* k, int64_t dim,
                                int64_t ahead, int64_t half, __m256* acc) {
#pragma GCC unroll 12
  for (int t = 0; t < MR * NR; ++t) acc[t] = _mm256_setzero_ps();
  constexpr int kLine = 64 / sizeof(T);
  int64_t at = 0;
  for (; at + 16 <= dim; at += 16) {
    __m256 key[NR];
#pragma GCC unroll 4
    for (int j = 0; j < NR; ++j) {
      key[j] = Held(LoadValues(k + j * dim + at + 8 * half).v);
      if constexpr (kFetch) {
        if (at % kLine == 0) FetchAhead(k + j * dim + at, ahead);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const __m256 query = Held(_mm256_loadu_ps(q[i] + at + 8 * half));
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) {
        acc[i * NR + j] = _mm256_fmadd_ps(query, key[j], acc[i * NR + j]);
      }
    }
  }
  if (const int tail = static_cast<int>(dim - at); tail > 0) {
    for (int j = 0; j < NR; ++j) {
      const F32x16 key = LoadPartial(k + j * dim + at, tail);
      for (int i = 0; i < MR; ++i) {
        const F32x16 query = LoadPartial(q[i] + at, tail);
        acc[i * NR + j] =
            half == 0 ? _mm256_fmadd_ps(query.lo, key.lo, acc[i * NR + j])
                      : _mm256_fmadd_ps(query.hi, key.hi, acc[i * NR + j]);
      }
    }
  }
}

template <int MR, int NR, bool kFetch, typename T>
FACET_INLINE void ScoreTile(const float* const* q, const T* k, int64_t dim,
                            int64_t ahead, float* out) {
  __m256 folded[MR * NR];
  if constexpr (MR <= 2) {
    F32x16 acc[MR][NR];
#pragma GCC unroll 2
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) acc[i][j] = Zero();
    }
    constexpr int kLine = 64 / sizeof(T);
    int64_t at = 0;
    for (; at + 16 <= dim; at += 16) {
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) {
        if constexpr (kFetch) {
          if (at % kLine == 0) FetchAhead(k + j * dim + at, ahead);
        }
        const F32x16 key = Load(k + j * dim + at);
#pragma GCC unroll 2
        for (int i = 0; i < MR; ++i) {
          acc[i][j] = Fma(Load(q[i] + at), key, acc[i][j]);
        }
      }
    }
    if (const int tail = static_cast<int>(dim - at); tail > 0) {
      for (int j = 0; j < NR; ++j) {
        const F32x16 key = LoadPartial(k + j * dim + at, tail);
        for (int i = 0; i < MR; ++i) {
          acc[i][j] = Fma(LoadPartial(q[i] + at, tail), key, acc[i][j]);
        }
      }
    }
#pragma GCC unroll 2
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NR; ++j) folded[i * NR + j] = FoldHalves(acc[i][j]);
    }
  } else {
    __m256 high[MR * NR];
    HalfScoreTile<MR, NR, kFetch>(q, k, dim, ahead, 0, folded);
    HalfScoreTile<MR, NR, false>(q, k, dim, ahead, 1, high);
#pragma GCC unroll 12
    for (int t = 0; t < MR * NR; ++t) {
      folded[t] = _mm256_add_ps(folded[t], high[t]);
    }
  }
  StoreScores<MR, NR>(folded, out);
}

#endif

// out[i * kPanelKeys + j] = q[i] · key j of `count`. Fetches what lies `ahead`
// elements behind the keys.
template <int MR, bool kFetch, typename T>
FACET_INLINE void Scores(const float* const* q, const T* k, int64_t dim,
                         int count, int64_t ahead, float* out) {
  constexpr int kKeys = kTileKeys[MR];
  int j = 0;
  for (; j + kKeys <= count; j += kKeys) {
    ScoreTile<MR, kKeys, kFetch>(q, k + j * dim, dim, ahead, out + j);
  }
  if constexpr (kKeys > 2) {
    for (; j + 2 <= count; j += 2) {
      ScoreTile<MR, 2, kFetch>(q, k + j * dim, dim, ahead, out + j);
    }
  }
  for (; j < count; ++j) {
    ScoreTile<MR, 1, kFetch>(q, k + j * dim, dim, ahead, out + j);
  }
}

// One block of values as a tile of rows sees it.
template <typename T>
struct ValueBlock {
  const T* v;     // [kAttentionBlock, dim]
  int64_t ahead;  // elements from v to what is to be fetched meanwhile
  int lo;         // keys that some row sees; none when lo >= hi
  int hi;
  const float* c;  // [rows], what o is scaled by before
};

// Columns [0, NV vectors) of o = o c + sum_j p_j v_j, block after block.
// p[i * kPanelKeys + b * kAttentionBlock + j] is the weight of key j of block
// b.
template <int MR, int NV, bool kFetch, typename T>
FACET_INLINE void ValueTile(const ValueBlock<T>* blocks, int count,
                            const float* p, int64_t column, int64_t dim,
                            float* o) {
  ValueVector acc[MR][NV];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < NV; ++n) {
      acc[i][n] = LoadValues(o + i * dim + column + kValueLanes * n);
    }
  }
  for (int b = 0; b < count; ++b) {
    const ValueBlock<T>& block = blocks[b];
    if (block.lo >= block.hi) continue;
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int n = 0; n < NV; ++n) {
        acc[i][n] = ScaleValues(acc[i][n], block.c[i]);
      }
    }
    const float* weight = p + b * kAttentionBlock;
    const T* v = block.v + column;
    const int64_t ahead = block.ahead;
    for (int j = block.lo; j < block.hi; ++j) {
      const T* row = v + j * dim;
      ValueVector value[NV];
#pragma GCC unroll 8
      for (int n = 0; n < NV; ++n) {
        if constexpr (kFetch) {
          if (kValueLanes * n * sizeof(T) % 64 == 0) {
            FetchAhead(row + kValueLanes * n, ahead);
          }
        }
        value[n] = LoadValues(row + kValueLanes * n);
      }
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        const ValueVector w = SetValues(weight[i * kPanelKeys + j]);
#pragma GCC unroll 8
        for (int n = 0; n < NV; ++n) {
          acc[i][n] = AddWeighed(w, value[n], acc[i][n]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < NV; ++n) {
      StoreValues(acc[i][n], o + i * dim + column + kValueLanes * n);
    }
  }
}

// Columns that fill no vector.
template <int MR, typename T>
FACET_INLINE void ValueTail(const ValueBlock<T>* blocks, int count,
                            const float* p, int64_t column, int64_t end,
                            int64_t dim, float* o) {
  for (int b = 0; b < count; ++b) {
    const ValueBlock<T>& block = blocks[b];
    if (block.lo >= block.hi) continue;
    for (int64_t d = column; d < end; ++d) {
      for (int i = 0; i < MR; ++i) {
        float sum = o[i * dim + d] * block.c[i];
        for (int j = block.lo; j < block.hi; ++j) {
          float value;
          if constexpr (sizeof(T) == 2) {
            value = ToFloat(block.v[j * dim + d]);
          } else {
            value = block.v[j * dim + d];
          }
          sum = __builtin_fmaf(p[i * kPanelKeys + b * kAttentionBlock + j],
                               value, sum);
        }
        o[i * dim + d] = sum;
      }
    }
  }
}

// Columns [begin, end) of o.
template <int MR, bool kFetch, typename T>
FACET_INLINE void AddValues(const ValueBlock<T>* blocks, int count,
                            const float* p, int64_t begin, int64_t end,
                            int64_t dim, float* o) {
  constexpr int kVectors = kValueVectors[MR];
  int64_t d = begin;
  for (; d + kVectors * kValueLanes <= end; d += kVectors * kValueLanes) {
    ValueTile<MR, kVectors, kFetch>(blocks, count, p, d, dim, o);
  }
  for (; d + kValueLanes <= end; d += kValueLanes) {
    ValueTile<MR, 1, kFetch>(blocks, count, p, d, dim, o);
  }
  if (d < end) ValueTail<MR>(blocks, count, p, d, end, dim, o);
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_TILES_H_
