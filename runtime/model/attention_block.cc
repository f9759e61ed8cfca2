// x += rms(o_proj(attention(normed x))), paged K/V on the way.
#include <vector>

#include "kernels/base/status_macros.h"
#include "runtime/model/workspace.h"

namespace facet {

int Model::QkvProducts(int layer, const LayerWeights& w,
                       MatmulArgs out[3]) const {
  Workspace& ws = *ws_;
  const auto product = [&](const WeightMatrix& matrix, Buffer& y) {
    return Product(ws.normed.data(), ws.rows, matrix,
                   y.Get(ws.rows * matrix.rows), 1, round_inputs_);
  };
  int count = 0;
  out[count++] = product(w.q, ws.q);
  if (config_.owns_kv(layer)) {
    out[count++] = product(w.k, ws.k);
    if (!config_.layers[layer].k_eq_v) out[count++] = product(w.v, ws.v);
  }
  return count;
}

int Model::ProductsAfter(int layer, MatmulArgs out[3]) const {
  if (layer + 1 < shard_.layers.end) {
    return QkvProducts(layer + 1,
                       weights_.layers[layer + 1 - shard_.layers.begin], out);
  }
  if (shard_.stage + 1 < plan_.pp_size()) return 0;
  out[0] = Product(nullptr, 1, weights_.head, nullptr, 1, false);
  return 1;
}

absl::Status Model::AttentionBlock(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const LayerConfig& config = config_.layers[layer];
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const int64_t dim = config.head_dim;
  const int heads = static_cast<int>(shard_.query_heads.size());
  const LayerPages& pages = kv_cache_.layer(layer);
  const bool sliding = config.kind == LayerKind::kSliding;
  const RopeTables& tables = sliding ? ws.sliding_rope : ws.global_rope;

  AttentionInputsArgs inputs;
  inputs.tokens = rows;
  inputs.query_heads = heads;
  inputs.head_dim = static_cast<int>(dim);
  inputs.epsilon = config_.rms_norm_eps;
  inputs.rotated_pairs = static_cast<int>(tables.frequencies.size());
  inputs.cos = tables.cos.data();
  inputs.sin = tables.sin.data();
  inputs.q_norm = w.q_norm.data();
  MatmulArgs products[3];
  const int count = QkvProducts(layer, w, products);
  inputs.q = ws.q.data();
  if (config_.owns_kv(layer)) {
    inputs.kv_heads = pages.kv_heads;
    inputs.k = ws.k.data();
    inputs.k_norm = w.k_norm.data();
    inputs.v = ws.v.Get(rows * pages.kv_heads * dim);
    inputs.v_from_k = config.k_eq_v;
    inputs.k_pages = pages.k;
    inputs.v_pages = pages.v;
    inputs.kv_dtype = kv_cache_.dtype();
    inputs.page_tokens = kv_cache_.page_tokens();
    inputs.page_stride = pages.page_stride;
    inputs.slots = (sliding ? ws.sliding_slots : ws.global_slots).data();
  }
  backend_.Matmuls("attention: q, k, v", absl::MakeConstSpan(products, count));
  backend_.AttentionInputs("attention: norms, rotation, pages", inputs);

  float* mixed = ws.attention.Get(rows * heads * dim);
  std::vector<AttentionArgs> sequences;
  for (const StepSlice& s : ws.slices) {
    const SequencePageTable& table =
        kv_cache_.table(s.slice->sequence, config.kind);
    AttentionArgs args;
    args.tokens = static_cast<int64_t>(s.slice->tokens.size());
    args.first_position = s.slice->start;
    args.query_heads = heads;
    args.kv_heads = pages.kv_heads;
    args.heads_per_kv = config_.query_heads / config.kv_heads;
    args.query_head_offset = static_cast<int>(shard_.query_heads.begin);
    args.head_dim = static_cast<int>(dim);
    args.window = sliding ? config_.sliding_window : 0;
    args.bf16_inputs = round_inputs_;
    args.q = inputs.q + s.first_row * heads * dim;
    args.q_stride = heads * dim;
    args.k = pages.k;
    args.v = pages.v;
    args.kv_dtype = kv_cache_.dtype();
    args.page_tokens = kv_cache_.page_tokens();
    args.page_stride = pages.page_stride;
    args.pages = table.pages.data();
    args.first_page = table.first_page;
    args.y = mixed + s.first_row * heads * dim;
    args.y_stride = heads * dim;
    sequences.push_back(args);
  }
  float* sum = ws.sums.Get(2 * rows * hidden);
  const MatmulArgs output =
      Product(mixed, rows, w.o, sum, local_segments_, round_inputs_);
  backend_.FetchAhead(absl::MakeConstSpan(&output, 1));
  backend_.Attention(
      sliding ? "attention: sliding window" : "attention: all keys", sequences);

  MatmulArgs gates[3];
  backend_.FetchAhead(absl::MakeConstSpan(gates, GateProducts(w, gates)));
  backend_.Matmuls("attention: output", absl::MakeConstSpan(&output, 1));
  FACET_RETURN_IF_ERROR(AllReduce(absl::MakeSpan(sum, rows * hidden)));

  float* x = ws.x.data();
  ws.norms.assign(1, Norm(sum, w.post_attention_norm, x));
  ws.norms[0].residual = x;
  ws.norms.push_back(Norm(x, w.pre_ff_norm, ws.normed.data()));
  if (config_.num_experts > 0) {
    // The router's own norm of the residual stream, and the experts'.
    RmsNormArgs router =
        Norm(x, w.experts.router_scale, ws.router_input.Get(rows * hidden));
    router.output_scale = router_scale_;
    ws.norms.push_back(router);
    ws.norms.push_back(
        Norm(x, w.experts.pre_norm_2, ws.expert_input.Get(rows * hidden)));
  }
  backend_.RmsNorms("norms", ws.norms);
  return absl::OkStatus();
}

}  // namespace facet
