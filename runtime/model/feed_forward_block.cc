// The dense MLP, the experts beside it, and the per-layer-embedding block.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/base/status_macros.h"
#include "kernels/gated_gelu/gated_gelu.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/router/router.h"
#include "runtime/model/workspace.h"

namespace facet {

absl::Status Model::FeedForwardBlock(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const bool has_experts = config_.num_experts > 0;
  float* dense = ws.sums.Get(2 * rows * hidden);
  float* experts = dense + rows * hidden;

  RmsNormArgs norm;
  norm.rows = rows;
  norm.width = hidden;
  norm.x = ws.x.data();
  norm.x_stride = hidden;
  norm.weight = w.pre_ff_norm.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.y = ws.normed.Get(rows * hidden);
  norm.y_stride = hidden;
  RmsNorm(norm, pool_);

  const int64_t columns = w.gate.rows;
  float* gate = ws.gate.Get(rows * columns);
  float* up = ws.up.Get(rows * columns);
  const MatmulArgs first[] = {
      Product(norm.y, rows, w.gate, gate, 1, round_inputs_),
      Product(norm.y, rows, w.up, up, 1, round_inputs_)};
  Matmul(first, pool_);
  GatedGeluArgs activation;
  activation.rows = rows;
  activation.width = columns;
  activation.gate = gate;
  activation.gate_stride = columns;
  activation.up = up;
  activation.up_stride = columns;
  activation.y = gate;
  activation.y_stride = columns;
  GatedGelu(activation, pool_);
  const MatmulArgs second =
      Product(gate, rows, w.down, dense, local_segments_, round_inputs_);
  Matmul(absl::MakeConstSpan(&second, 1), pool_);

  if (has_experts) Experts(layer, w, experts);
  // Both sums travel in one message.
  FACET_RETURN_IF_ERROR(
      AllReduce(absl::MakeSpan(dense, (has_experts ? 2 : 1) * rows * hidden)));

  if (has_experts) {
    norm.x = dense;
    norm.weight = w.experts.post_norm_1.data();
    norm.y = dense;
    RmsNorm(norm, pool_);
    norm.x = experts;
    norm.weight = w.experts.post_norm_2.data();
    norm.residual = dense;
    norm.y = dense;
    RmsNorm(norm, pool_);
  }
  norm.x = dense;
  norm.weight = w.post_ff_norm.data();
  norm.residual = ws.x.data();
  // layer_scalar multiplies the whole stream, after the per-layer block.
  norm.output_scale = config_.per_layer_width > 0 ? 1.0f : w.layer_scalar;
  norm.y = ws.x.data();
  RmsNorm(norm, pool_);
  return absl::OkStatus();
}

// out[t] = the sum of this rank's experts over the tokens that are its to
// compute, virtual expert shards added along a tree; zero for other tokens.
void Model::Experts(int layer, const LayerWeights& w, float* out) {
  Workspace& ws = *ws_;
  const ExpertWeights& e = w.experts;
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const int k = config_.experts_per_token;

  // Router: its own unscaled norm of the residual stream. Inputs stay f32: a
  // near tie decides which expert runs.
  RmsNormArgs norm;
  norm.rows = rows;
  norm.width = hidden;
  norm.x = ws.x.data();
  norm.x_stride = hidden;
  norm.weight = e.router_scale.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.output_scale = 1.0f / std::sqrt(static_cast<float>(hidden));
  norm.y = ws.expert_input.Get(rows * hidden);
  norm.y_stride = hidden;
  RmsNorm(norm, pool_);
  RouterArgs router;
  router.tokens = rows;
  router.experts = config_.num_experts;
  router.experts_per_token = k;
  float* logits = ws.router_logits.Get(rows * config_.num_experts);
  const MatmulArgs scores = Product(norm.y, rows, e.router, logits, 1, false);
  Matmul(absl::MakeConstSpan(&scores, 1), pool_);
  router.logits = logits;
  router.per_expert_scale = e.per_expert_scale.data();
  router.probabilities = ws.probabilities.Get(rows * config_.num_experts);
  ws.chosen.resize(rows * k);
  router.chosen = ws.chosen.data();
  router.weights = ws.expert_weights.Get(rows * k);
  Router(router, pool_);
  if (observer_ != nullptr) {
    observer_->OnRouting(
        layer,
        {router.probabilities, static_cast<size_t>(rows * config_.num_experts)},
        ws.chosen, {router.weights, static_cast<size_t>(rows * k)});
  }

  norm.weight = e.pre_norm_2.data();
  norm.output_scale = 1.0f;
  RmsNorm(norm, pool_);

  // Group this rank's (token, expert) pairs by expert.
  const IndexRange local = shard_.experts;
  const int64_t expert_count = local.size();
  const auto mine = [&](int64_t t) {
    return t % shard_.expert_replicas == shard_.expert_replica;
  };
  ws.expert_begin.assign(expert_count + 1, 0);
  for (int64_t t = 0; t < rows; ++t) {
    if (!mine(t)) continue;
    for (int j = 0; j < k; ++j) {
      const int64_t expert = ws.chosen[t * k + j];
      if (local.contains(expert)) ++ws.expert_begin[expert - local.begin + 1];
    }
  }
  for (int64_t i = 0; i < expert_count; ++i) {
    ws.expert_begin[i + 1] += ws.expert_begin[i];
  }
  const int64_t pairs = ws.expert_begin[expert_count];
  ws.pair_rows.resize(pairs);
  ws.pair_weights.resize(pairs);
  ws.token_begin.assign(rows + 1, 0);
  ws.token_pairs.clear();
  std::vector<int64_t> next(ws.expert_begin.begin(), ws.expert_begin.end());
  for (int64_t t = 0; t < rows; ++t) {
    ws.token_begin[t] = static_cast<int64_t>(ws.token_pairs.size());
    if (!mine(t)) continue;
    for (int j = 0; j < k; ++j) {
      const int32_t expert = ws.chosen[t * k + j];
      if (!local.contains(expert)) continue;
      const int64_t pair = next[expert - local.begin]++;
      ws.pair_rows[pair] = static_cast<int32_t>(t);
      ws.pair_weights[pair] = router.weights[t * k + j];
      ws.token_pairs.emplace_back(expert, pair);
    }
    std::sort(ws.token_pairs.begin() + ws.token_begin[t], ws.token_pairs.end());
  }
  ws.token_begin[rows] = static_cast<int64_t>(ws.token_pairs.size());

  const int64_t width = config_.expert_width;
  float* gate_up = ws.expert_gate_up.Get(pairs * 2 * width);
  float* output = ws.expert_output.Get(pairs * hidden);
  std::vector<MatmulArgs> products;
  for (int64_t i = 0; i < expert_count; ++i) {
    const int64_t begin = ws.expert_begin[i];
    const int64_t count = ws.expert_begin[i + 1] - begin;
    if (count == 0) continue;
    MatmulArgs args = Product(norm.y, count, e.gate_up[i],
                              gate_up + begin * 2 * width, 1, round_inputs_);
    args.x_rows = ws.pair_rows.data() + begin;
    products.push_back(args);
  }
  Matmul(products, pool_);
  GatedGeluArgs activation;
  activation.rows = pairs;
  activation.width = width;
  activation.gate = gate_up;
  activation.gate_stride = 2 * width;
  activation.up = gate_up + width;
  activation.up_stride = 2 * width;
  activation.y = gate_up;
  activation.y_stride = 2 * width;
  GatedGelu(activation, pool_);
  products.clear();
  for (int64_t i = 0; i < expert_count; ++i) {
    const int64_t begin = ws.expert_begin[i];
    const int64_t count = ws.expert_begin[i + 1] - begin;
    if (count == 0) continue;
    MatmulArgs args = Product(gate_up + begin * 2 * width, count, e.down[i],
                              output + begin * hidden, 1, round_inputs_);
    args.x_stride = 2 * width;
    products.push_back(args);
  }
  Matmul(products, pool_);

  // Weighted sums: experts in rising order inside a virtual shard, shards along
  // the tree. Products round before they are added, and sums start at +0, so an
  // empty shard adds nothing, not even a sign of zero.
  const int64_t shard_experts = config_.num_experts / plan_.virtual_shards();
  const int64_t shards = expert_count / shard_experts;
  pool_.ParallelFor(rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> sums(shards * hidden);
    for (int64_t t = begin; t < end; ++t) {
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (int64_t i = ws.token_begin[t]; i < ws.token_begin[t + 1]; ++i) {
        const auto [expert, pair] = ws.token_pairs[i];
        float* sum =
            sums.data() + (expert - local.begin) / shard_experts * hidden;
        const float* y = output + pair * hidden;
        const float weight = ws.pair_weights[pair];
        for (int64_t d = 0; d < hidden; ++d) sum[d] += weight * y[d];
      }
      for (int64_t step = 1; step < shards; step *= 2) {
        for (int64_t s = 0; s < shards; s += 2 * step) {
          float* a = sums.data() + s * hidden;
          const float* b = sums.data() + (s + step) * hidden;
          for (int64_t d = 0; d < hidden; ++d) a[d] += b[d];
        }
      }
      std::memcpy(out + t * hidden, sums.data(), hidden * sizeof(float));
    }
  });
}

// x = (x + rms((gelu(x @ gateᵀ) * ple) @ projectionᵀ)) * layer_scalar
void Model::PerLayerBlock(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const int64_t width = config_.per_layer_width;
  float* gate = ws.per_layer_gate.Get(rows * width);
  const MatmulArgs first =
      Product(ws.x.data(), rows, w.per_layer.gate, gate, 1, round_inputs_);
  Matmul(absl::MakeConstSpan(&first, 1), pool_);
  GatedGeluArgs activation;
  activation.rows = rows;
  activation.width = width;
  activation.gate = gate;
  activation.gate_stride = width;
  activation.up = ws.per_layer.data() + (layer - shard_.layers.begin) * width;
  activation.up_stride = shard_.layers.size() * width;
  activation.y = gate;
  activation.y_stride = width;
  GatedGelu(activation, pool_);
  float* sum = ws.sums.Get(2 * rows * hidden);
  const MatmulArgs second =
      Product(gate, rows, w.per_layer.projection, sum, 1, round_inputs_);
  Matmul(absl::MakeConstSpan(&second, 1), pool_);
  RmsNormArgs norm;
  norm.rows = rows;
  norm.width = hidden;
  norm.x = sum;
  norm.x_stride = hidden;
  norm.weight = w.per_layer.post_norm.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.residual = ws.x.data();
  norm.output_scale = w.layer_scalar;
  norm.y = ws.x.data();
  norm.y_stride = hidden;
  RmsNorm(norm, pool_);
}

}  // namespace facet
