// The loops of the AVX2 and AVX-512 variants. Scores come from the tiles of
// kernels/matmul: four query rows by the 32 keys of a block.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_SIMD_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_SIMD_H_

#include "kernels/attention/attention_variants.h"
#include "kernels/base/simd.h"
#include "kernels/matmul/matmul_simd.h"

namespace facet {
namespace FACET_SIMD {

FACET_INLINE float ExpOf(float x) {
  float lanes[16];
  Store(Exp(Set(x)), lanes);
  return lanes[0];
}

// Vectors of o that stay in registers while a block's values stream by.
#if defined(__AVX512F__)
inline constexpr int kValueVectors = 4;
#else
inline constexpr int kValueVectors = 1;
#endif

// o[i][0 .. 16 NV) = o c + sum_j p[i][j] v[j], j in [lo, hi). Prefetches what
// lies `ahead` elements behind the values.
template <int MR, int NV, bool kPrefetch, typename T>
FACET_INLINE void AddValues(const float (*p)[kAttentionBlock], const float* c,
                            const T* v, int64_t dim, int64_t ahead, int lo,
                            int hi, float* o) {
  F32x16 acc[MR][NV];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int n = 0; n < NV; ++n) {
      acc[i][n] = Load(o + i * dim + 16 * n) * Set(c[i]);
    }
  }
  for (int j = lo; j < hi; ++j) {
    F32x16 value[NV];
#pragma GCC unroll 4
    for (int n = 0; n < NV; ++n) {
      const T* at = v + j * dim + 16 * n;
      if constexpr (kPrefetch) {
        if (16 * n * sizeof(T) % 64 == 0) PrefetchAhead(at, ahead);
      }
      value[n] = Load(at);
    }
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const F32x16 weight = Set(p[i][j]);
#pragma GCC unroll 4
      for (int n = 0; n < NV; ++n) {
        acc[i][n] = Fma(weight, value[n], acc[i][n]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int n = 0; n < NV; ++n) Store(acc[i][n], o + i * dim + 16 * n);
  }
}

template <int MR, bool kPrefetch, typename T>
FACET_INLINE void AddAllValues(const float (*p)[kAttentionBlock],
                               const float* c, const T* v, int64_t dim,
                               int64_t ahead, int lo, int hi, float* o) {
  int64_t d = 0;
  for (; d + 16 * kValueVectors <= dim; d += 16 * kValueVectors) {
    AddValues<MR, kValueVectors, kPrefetch>(p, c, v + d, dim, ahead, lo, hi,
                                            o + d);
  }
  for (; d + 16 <= dim; d += 16) {
    AddValues<MR, 1, kPrefetch>(p, c, v + d, dim, ahead, lo, hi, o + d);
  }
  for (; d < dim; ++d) {
    for (int i = 0; i < MR; ++i) {
      float sum = o[i * dim + d] * c[i];
      for (int j = lo; j < hi; ++j) {
        float value;
        if constexpr (sizeof(T) == 2) {
          value = ToFloat(v[j * dim + d]);
        } else {
          value = v[j * dim + d];
        }
        sum = __builtin_fmaf(p[i][j], value, sum);
      }
      o[i * dim + d] = sum;
    }
  }
}

// Softmax weights of one row over one block; updates m and l, returns c.
FACET_INLINE float Weigh(float* scores, VisibleKeys keys, float& m, float& l) {
  if (keys.lo >= keys.hi) {
    for (int j = 0; j < kAttentionBlock; ++j) scores[j] = 0;
    return 1.0f;
  }
  for (int j = 0; j < keys.lo; ++j) scores[j] = -__builtin_inff();
  for (int j = keys.hi; j < kAttentionBlock; ++j) {
    scores[j] = -__builtin_inff();
  }
  const F32x16 s0 = Load(scores), s1 = Load(scores + 16);
  const float in_block = ReduceMax(Max(s0, s1));
  const float largest = m < in_block ? in_block : m;
  const F32x16 p0 = Exp(s0 - Set(largest)), p1 = Exp(s1 - Set(largest));
  Store(p0, scores);
  Store(p1, scores + 16);
  const float c = ExpOf(m - largest);
  l = __builtin_fmaf(l, c, ReduceAdd(p0 + p1));
  m = largest;
  return c;
}

// Elements from `a` to `b`, which may lie in different allocations.
template <typename T>
FACET_INLINE int64_t Distance(const T* a, const T* b) {
  return (reinterpret_cast<intptr_t>(b) - reinterpret_cast<intptr_t>(a)) /
         static_cast<int64_t>(sizeof(T));
}

// Keys and values stream from memory page by page, each too short for the
// hardware to follow: the first tile of a block fetches its values while it
// reads keys, and the next block's keys while it reads values.
template <int MR, bool kPrefetch, typename T>
void RowTile(const AttentionArgs& args, const AttentionTask& task, const T* k,
             const T* v, const T* next_k, int64_t block, int row,
             const AttentionState& state) {
  const int64_t dim = args.head_dim;
  const float* q[MR];
  VisibleKeys visible[MR];
  int lo = kAttentionBlock, hi = 0;
  for (int i = 0; i < MR; ++i) {
    const int64_t token = task.token_begin + (row + i) / task.heads;
    const int head = task.first_head + (row + i) % task.heads;
    q[i] = args.q + token * args.q_stride + head * dim;
    visible[i] = VisibleInBlock(args, args.first_position + token, block);
    if (visible[i].lo >= visible[i].hi) continue;
    lo = visible[i].lo < lo ? visible[i].lo : lo;
    hi = visible[i].hi > hi ? visible[i].hi : hi;
  }
  if (lo >= hi) return;
  alignas(64) float p[MR][kAttentionBlock];
  Strip<MR, kPrefetch>(q, k + lo * dim, dim, hi - lo, dim, /*segments=*/1,
                       Distance(k, v), &p[0][lo], kAttentionBlock,
                       /*segment_stride=*/0);
  float c[MR];
  for (int i = 0; i < MR; ++i) {
    c[i] = Weigh(p[i], visible[i], state.m[row + i], state.l[row + i]);
  }
  AddAllValues<MR, kPrefetch>(p, c, v, dim, Distance(v, next_k), lo, hi,
                              state.o + row * dim);
}

template <bool kPrefetch, typename T>
FACET_INLINE void RowTileOf(int rows, const AttentionArgs& args,
                            const AttentionTask& task, const T* k, const T* v,
                            const T* next_k, int64_t block, int row,
                            const AttentionState& state) {
  switch (rows) {
    case 1:
      return RowTile<1, kPrefetch>(args, task, k, v, next_k, block, row, state);
    case 2:
      return RowTile<2, kPrefetch>(args, task, k, v, next_k, block, row, state);
    case 3:
      return RowTile<3, kPrefetch>(args, task, k, v, next_k, block, row, state);
    default:
      return RowTile<4, kPrefetch>(args, task, k, v, next_k, block, row, state);
  }
}

template <typename T>
void SplitOf(const AttentionArgs& args, const AttentionTask& task,
             const AttentionState& state) {
  const int rows = task.tokens * task.heads;
  for (int r = 0; r < rows; ++r) {
    state.m[r] = -__builtin_inff();
    state.l[r] = 0;
  }
  std::memset(state.o, 0, sizeof(float) * rows * args.head_dim);
  for (int64_t block = task.key_begin; block < task.key_end;
       block += kAttentionBlock) {
    const int64_t offset = KeyOffset(args, task.kv_head, block);
    const T* k = static_cast<const T*>(args.k) + offset;
    const T* v = static_cast<const T*>(args.v) + offset;
    const int64_t next = block + kAttentionBlock;
    const T* next_k = next < task.key_end
                          ? static_cast<const T*>(args.k) +
                                KeyOffset(args, task.kv_head, next)
                          : k;
    RowTileOf<true>(rows, args, task, k, v, next_k, block, 0, state);
    for (int row = 4; row < rows; row += 4) {
      RowTileOf<false>(rows - row, args, task, k, v, next_k, block, row, state);
    }
  }
}

inline void Split(const AttentionArgs& args, const AttentionTask& task,
                  const AttentionState& state) {
  if (args.kv_dtype == DType::kF32) {
    SplitOf<float>(args, task, state);
  } else {
    SplitOf<BF16>(args, task, state);
  }
}

inline void Merge(int rows, int64_t dim, const AttentionState& total,
                  const AttentionState& next) {
  for (int r = 0; r < rows; ++r) {
    if (next.l[r] == 0) continue;
    const float m = total.m[r] < next.m[r] ? next.m[r] : total.m[r];
    const float a = total.l[r] == 0 ? 0.0f : ExpOf(total.m[r] - m);
    const float b = ExpOf(next.m[r] - m);
    total.l[r] = __builtin_fmaf(total.l[r], a, next.l[r] * b);
    total.m[r] = m;
    float* o = total.o + r * dim;
    const float* n = next.o + r * dim;
    for (int64_t d = 0; d < dim; d += 16) {
      const int count = static_cast<int>(dim - d < 16 ? dim - d : 16);
      const F32x16 sum = Fma(LoadPartial(o + d, count), Set(a),
                             LoadPartial(n + d, count) * Set(b));
      StorePartial(sum, o + d, count);
    }
  }
}

inline void Finish(const AttentionArgs& args, const AttentionTask& task,
                   const AttentionState& state) {
  const int64_t dim = args.head_dim;
  for (int r = 0; r < task.tokens * task.heads; ++r) {
    const int64_t token = task.token_begin + r / task.heads;
    const int head = task.first_head + r % task.heads;
    float* y = args.y + token * args.y_stride + head * dim;
    const F32x16 scale = Set(1.0f / state.l[r]);
    for (int64_t d = 0; d < dim; d += 16) {
      const int count = static_cast<int>(dim - d < 16 ? dim - d : 16);
      StorePartial(LoadPartial(state.o + r * dim + d, count) * scale, y + d,
                   count);
    }
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_SIMD_H_
