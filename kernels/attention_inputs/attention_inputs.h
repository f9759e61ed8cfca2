// From raw projections to what attention reads, token by token:
//   q <- rope(rms(q) * q_norm)
//   v <- rms(v), no weight; from the raw keys where k and v are one projection
//   k <- rope(rms(k) * k_norm)
// and the new keys and values into their pages. Orders of addition are those of
// kernels/rms_norm and kernels/rope.
#ifndef FACET_KERNELS_ATTENTION_INPUTS_ATTENTION_INPUTS_H_
#define FACET_KERNELS_ATTENTION_INPUTS_ATTENTION_INPUTS_H_

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"

namespace facet {

struct AttentionInputsArgs {
  int64_t tokens = 0;
  int query_heads = 0;
  int kv_heads = 0;  // of the keys given; 0: the pages hold them already
  int head_dim = 0;
  float epsilon = 1e-6f;

  int rotated_pairs = 0;       // <= head_dim / 2
  const float* cos = nullptr;  // [tokens, rotated_pairs]
  const float* sin = nullptr;

  float* q = nullptr;             // [tokens, query_heads, head_dim], in place
  const float* q_norm = nullptr;  // [head_dim]
  float* k = nullptr;             // [tokens, kv_heads, head_dim], in place
  const float* k_norm = nullptr;  // [head_dim]
  float* v = nullptr;             // [tokens, kv_heads, head_dim], in place
  bool v_from_k = false;          // v is only written

  // Page p of the pool starts at element p * page_stride and holds [kv_heads,
  // page_tokens, head_dim].
  void* k_pages = nullptr;
  void* v_pages = nullptr;
  DType kv_dtype = DType::kF32;  // or kBF16, rounded to nearest even
  int page_tokens = 0;
  // 0: kv_heads * page_tokens * head_dim, one page right behind the other.
  int64_t page_stride = 0;
  // [tokens]: page * page_tokens + place in the page.
  const int64_t* slots = nullptr;
};

// One parallel region over the tokens.
void AttentionInputs(const AttentionInputsArgs& args, ThreadPool& pool);

}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_INPUTS_ATTENTION_INPUTS_H_
