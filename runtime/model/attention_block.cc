// x += rms(o_proj(attention(rms(x)))), paged K/V on the way.
#include <cstring>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/base/status_macros.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "runtime/model/workspace.h"

namespace facet {

absl::Status Model::AttentionBlock(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const LayerConfig& config = config_.layers[layer];
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const int64_t dim = config.head_dim;
  const int heads = static_cast<int>(shard_.query_heads.size());
  const LayerPages& pages = kv_cache_.layer(layer);
  const bool sliding = config.kind == LayerKind::kSliding;

  RmsNormArgs norm;
  norm.rows = rows;
  norm.width = hidden;
  norm.x = ws.x.data();
  norm.x_stride = hidden;
  norm.weight = w.input_norm.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.y = ws.normed.Get(rows * hidden);
  norm.y_stride = hidden;
  RmsNorm(norm, pool_);

  float* q = ws.q.Get(rows * heads * dim);
  std::vector<MatmulArgs> products = {
      Product(norm.y, rows, w.q, q, 1, round_inputs_)};
  const bool owner = config_.owns_kv(layer);
  const int64_t kv_width = pages.kv_heads * dim;
  float* k = nullptr;
  float* v = nullptr;
  if (owner) {
    k = ws.k.Get(rows * kv_width);
    v = ws.v.Get(rows * kv_width);
    products.push_back(Product(norm.y, rows, w.k, k, 1, round_inputs_));
    if (!config.k_eq_v) {
      products.push_back(Product(norm.y, rows, w.v, v, 1, round_inputs_));
    }
  }
  Matmul(products, pool_);

  const auto norm_heads = [&](const float* x, int64_t count,
                              const WeightVector* weight, float* y) {
    RmsNormArgs args;
    args.rows = rows * count;
    args.width = dim;
    args.x = x;
    args.x_stride = dim;
    args.weight = weight != nullptr ? weight->data() : nullptr;
    args.epsilon = config_.rms_norm_eps;
    args.y = y;
    args.y_stride = dim;
    RmsNorm(args, pool_);
  };
  const RopeTables& tables = sliding ? ws.sliding_rope : ws.global_rope;
  const auto rotate = [&](float* x, int count) {
    RopeArgs args;
    args.tokens = rows;
    args.heads = count;
    args.head_dim = static_cast<int>(dim);
    args.rotated_pairs = static_cast<int>(tables.frequencies.size());
    args.cos = tables.cos.data();
    args.sin = tables.sin.data();
    args.x = x;
    args.token_stride = count * dim;
    Rope(args, pool_);
  };
  norm_heads(q, heads, &w.q_norm, q);
  rotate(q, heads);
  if (owner) {
    // V comes from the raw projection, before k_norm and rotation.
    norm_heads(config.k_eq_v ? k : v, pages.kv_heads, nullptr, v);
    norm_heads(k, pages.kv_heads, &w.k_norm, k);
    rotate(k, pages.kv_heads);
    for (const StepSlice& s : ws.slices) {
      kv_cache_.Write(layer, config.kind, *s.slice, k + s.first_row * kv_width,
                      v + s.first_row * kv_width, pool_);
    }
  }

  float* mixed = ws.attention.Get(rows * heads * dim);
  const int heads_per_kv = config_.query_heads / config.kv_heads;
  std::vector<AttentionArgs> sequences;
  for (const StepSlice& s : ws.slices) {
    const SequencePageTable& table =
        kv_cache_.table(s.slice->sequence, config.kind);
    AttentionArgs args;
    args.tokens = static_cast<int64_t>(s.slice->tokens.size());
    args.first_position = s.slice->start;
    args.query_heads = heads;
    args.kv_heads = pages.kv_heads;
    args.heads_per_kv = heads_per_kv;
    args.query_head_offset = static_cast<int>(shard_.query_heads.begin);
    args.head_dim = static_cast<int>(dim);
    args.window = sliding ? config_.sliding_window : 0;
    args.q = q + s.first_row * heads * dim;
    args.q_stride = heads * dim;
    args.k = pages.k;
    args.v = pages.v;
    args.kv_dtype = kv_cache_.dtype();
    args.page_tokens = kv_cache_.page_tokens();
    args.pages = table.pages.data();
    args.first_page = table.first_page;
    args.y = mixed + s.first_row * heads * dim;
    args.y_stride = heads * dim;
    sequences.push_back(args);
  }
  Attention(sequences, pool_);

  float* sum = ws.sums.Get(2 * rows * hidden);
  const MatmulArgs output =
      Product(mixed, rows, w.o, sum, local_segments_, round_inputs_);
  Matmul(absl::MakeConstSpan(&output, 1), pool_);
  FACET_RETURN_IF_ERROR(AllReduce(absl::MakeSpan(sum, rows * hidden)));

  norm.x = sum;
  norm.weight = w.post_attention_norm.data();
  norm.residual = ws.x.data();
  norm.y = ws.x.data();
  RmsNorm(norm, pool_);
  return absl::OkStatus();
}

}  // namespace facet
