// Causal attention of new tokens over paged K and V, grouped query heads, with
// or without a sliding window. Scores are q · k, unscaled.
//
// Order of accumulation, a function of absolute key positions alone, so that no
// bit depends on batch, chunk, page size or threads:
//   score  a dot product as in kernels/matmul: 16 lanes over head_dim
//   block  32 keys from a multiple of 32: m' = max(m, scores), c = exp(m - m'),
//          p = exp(score - m'), l = l c + sum p (lane i takes keys i and i +
//          16), o = o c, then o = fma(p_j, v_j, o) in rising j
//   split  1024 keys from a multiple of 1024: blocks in rising order from
//          m = -inf, l = 0, o = 0; splits are merged in rising order by the
//          same rescaling
//   out    o * (1 / l)
// Source: arXiv:2205.14135 (online softmax), arXiv:2309.06180 (pages).
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"

namespace facet {

inline constexpr int kAttentionBlock = 32;
inline constexpr int kAttentionSplit = 1024;

// New tokens of one sequence. Page p of the pool starts at element
// p * page_stride of `k` and `v` and holds [kv_heads, page_tokens, head_dim].
struct AttentionArgs {
  int64_t tokens = 0;
  int64_t first_position = 0;  // of tokens[0]; all earlier keys are in pages
  int query_heads = 0;
  int kv_heads = 0;
  // Query head h reads KV head (h + query_head_offset) / heads_per_kv.
  int heads_per_kv = 1;
  int query_head_offset = 0;
  int head_dim = 0;
  int64_t window = 0;  // keys visible, the query's own included; 0: all

  // A device may round q and the weights of keys to bf16, to multiply them with
  // pages of bf16 on tensor cores. Processors round nothing here.
  bool bf16_inputs = false;

  const float* q = nullptr;  // [tokens, query_heads, head_dim]
  int64_t q_stride = 0;      // elements from token to token
  const void* k = nullptr;
  const void* v = nullptr;
  DType kv_dtype = DType::kF32;  // or kBF16
  int page_tokens = 0;           // a multiple of kAttentionBlock
  // 0: kv_heads * page_tokens * head_dim, one page right behind the other.
  int64_t page_stride = 0;
  // pages[i] holds the positions from (first_page + i) * page_tokens on; they
  // reach from the first visible key to the last new token.
  const int32_t* pages = nullptr;
  int64_t first_page = 0;

  float* y = nullptr;  // [tokens, query_heads, head_dim]
  int64_t y_stride = 0;
};

// All sequences of a step in one parallel region or two.
void Attention(absl::Span<const AttentionArgs> sequences, ThreadPool& pool);

// Some query rows of one KV head. Row r is token row_begin + r / heads of query
// head first_head + r % heads.
struct AttentionTask {
  int kv_head = 0;
  int first_head = 0;
  int heads = 0;
  int64_t token_begin = 0;
  int tokens = 0;
  int64_t key_begin = 0;  // a multiple of kAttentionSplit
  int64_t key_end = 0;    // at most one split when `state` is kept
};

inline constexpr int kAttentionMaxRows = 64;  // heads * tokens of one task

// What a split leaves behind: o is not divided by l yet.
struct AttentionState {
  float* m = nullptr;  // [rows]
  float* l = nullptr;  // [rows]
  float* o = nullptr;  // [rows, head_dim]
};

// Keys of a panel, and floats that hold the scores of one split.
inline constexpr int kAttentionPanel = 128;
inline constexpr int64_t AttentionScoreFloats(int rows) {
  return int64_t{rows} * kAttentionSplit;
}

// One implementation. `run_split` fills `state` from the keys of one split that
// lie in [key_begin, key_end); `merge` adds `next` to `total` (both of `rows`),
// `finish` writes y.
//
// A split that several threads share is the same in two steps: `score` puts the
// scores of [key_begin, key_end) into `scores`, [panel of the split, rows,
// kAttentionPanel], for any run of blocks; when all are there, `add_values`
// makes of them m and l, if it is the columns from 0 on that are asked for, and
// the columns [column_begin, column_end) of o. Columns are multiples of 16, or
// the end.
struct AttentionVariant {
  const char* name;
  Isa isa;
  void (*run_split)(const AttentionArgs& args, const AttentionTask& task,
                    const AttentionState& state);
  void (*score)(const AttentionArgs& args, const AttentionTask& task,
                float* scores);
  void (*add_values)(const AttentionArgs& args, const AttentionTask& task,
                     const float* scores, int column_begin, int column_end,
                     const AttentionState& state);
  void (*merge)(int rows, int head_dim, const AttentionState& total,
                const AttentionState& next);
  void (*finish)(const AttentionArgs& args, const AttentionTask& task,
                 const AttentionState& state);
};
absl::Span<const AttentionVariant> AttentionVariants();

// `args` by one variant on the calling thread, for tests; `columns` > 0: every
// split in two steps, a panel and that many columns at a time.
void AttentionWith(const AttentionVariant& variant, const AttentionArgs& args,
                   int columns = 0);

}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_H_
