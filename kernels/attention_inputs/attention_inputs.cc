#include "kernels/attention_inputs/attention_inputs.h"

#include <algorithm>

#include "kernels/base/kv_pages.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"

namespace facet {
namespace {

// Elements a thread takes at least: a few microseconds of work.
constexpr int64_t kGrain = 8192;

// rms() of the heads of tokens [begin, end).
void NormHeads(const AttentionInputsArgs& args, int heads, const float* x,
               const float* weight, float* y, int64_t begin, int64_t end) {
  RmsNormArgs norm;
  norm.rows = args.tokens * heads;
  norm.width = args.head_dim;
  norm.x = x;
  norm.x_stride = args.head_dim;
  norm.weight = weight;
  norm.epsilon = args.epsilon;
  norm.y = y;
  norm.y_stride = args.head_dim;
  ActiveRmsNorm().run(norm, begin * heads, end * heads);
}

void Rotate(const AttentionInputsArgs& args, int heads, float* x, int64_t begin,
            int64_t end) {
  RopeArgs rope;
  rope.tokens = args.tokens;
  rope.heads = heads;
  rope.head_dim = args.head_dim;
  rope.rotated_pairs = args.rotated_pairs;
  rope.cos = args.cos;
  rope.sin = args.sin;
  rope.x = x;
  rope.token_stride = int64_t{heads} * args.head_dim;
  ActiveRope().run(rope, begin, end);
}

template <typename T>
void Store(const float* from, int64_t count, T* to) {
  for (int64_t d = 0; d < count; ++d) {
    if constexpr (sizeof(T) == sizeof(float)) {
      to[d] = from[d];
    } else {
      to[d] = ToBF16(from[d]);
    }
  }
}

template <typename T>
void WritePages(const AttentionInputsArgs& args, int64_t begin, int64_t end) {
  const int64_t dim = args.head_dim;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t page = args.slots[t] / args.page_tokens;
    const int64_t place = args.slots[t] % args.page_tokens;
    for (int h = 0; h < args.kv_heads; ++h) {
      const int64_t to = KvElement(args, page, h, place);
      const int64_t from = (t * args.kv_heads + h) * dim;
      Store(args.k + from, dim, static_cast<T*>(args.k_pages) + to);
      Store(args.v + from, dim, static_cast<T*>(args.v_pages) + to);
    }
  }
}

}  // namespace

void AttentionInputs(const AttentionInputsArgs& args, ThreadPool& pool) {
  const int64_t per_token =
      int64_t{args.query_heads + 2 * args.kv_heads} * args.head_dim;
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(per_token, 1));
  pool.ParallelFor(args.tokens, grain, [&](int64_t begin, int64_t end) {
    NormHeads(args, args.query_heads, args.q, args.q_norm, args.q, begin, end);
    Rotate(args, args.query_heads, args.q, begin, end);
    if (args.kv_heads == 0) return;
    // Values come from the raw projection, before k_norm and rotation.
    NormHeads(args, args.kv_heads, args.v_from_k ? args.k : args.v, nullptr,
              args.v, begin, end);
    NormHeads(args, args.kv_heads, args.k, args.k_norm, args.k, begin, end);
    Rotate(args, args.kv_heads, args.k, begin, end);
    if (args.kv_dtype == DType::kF32) {
      WritePages<float>(args, begin, end);
    } else {
      WritePages<BF16>(args, begin, end);
    }
  });
}

}  // namespace facet
