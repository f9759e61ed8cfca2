// How much room a step of so many tokens takes on one rank.
#include <algorithm>

#include "runtime/model/workspace.h"

namespace facet {

absl::Status Model::ReserveOn(Device* device, int64_t tokens) {
  Workspace& ws = *ws_;
  const WorkspaceSizes sizes =
      WorkspaceSizesOf(config_, plan_, shard_.rank, tokens);
  const struct {
    Buffer& buffer;
    int64_t count;
  } wanted[] = {
      {ws.x, sizes.hidden},
      {ws.normed, sizes.hidden},
      {ws.q, sizes.queries},
      {ws.k, sizes.keys},
      {ws.v, sizes.keys},
      {ws.attention, sizes.queries},
      {ws.sums, 2 * sizes.hidden},
      {ws.gate, sizes.columns},
      {ws.up, sizes.columns},
      {ws.per_layer, sizes.per_layer},
      {ws.per_layer_gate, sizes.per_layer_gate},
      {ws.first_embedding, sizes.first_embedding},
      {ws.router_input, sizes.expert_hidden},
      {ws.expert_input, sizes.expert_hidden},
      {ws.router_logits, sizes.router},
      {ws.probabilities, sizes.router},
      {ws.expert_weights, sizes.choices},
      {ws.chosen, sizes.choices},
      {ws.final_rows, sizes.final_rows},
      {ws.logits, sizes.logits},
      {ws.sliding_rope.cos, sizes.rotations},
      {ws.sliding_rope.sin, sizes.rotations},
      {ws.global_rope.cos, sizes.rotations},
      {ws.global_rope.sin, sizes.rotations},
  };
  for (const auto& [buffer, count] : wanted) {
    FACET_RETURN_IF_ERROR(buffer.ReserveOn(device, count));
  }
  on_device_ = true;
  return absl::OkStatus();
}

int64_t Model::WorkspaceBytes(const ModelConfig& config, const ShardPlan& plan,
                              int rank, int64_t tokens) {
  const WorkspaceSizes s = WorkspaceSizesOf(config, plan, rank, tokens);
  return 4 * (4 * s.hidden + 2 * s.queries + 2 * s.keys + 2 * s.columns +
              s.per_layer + s.per_layer_gate + s.first_embedding +
              2 * s.expert_hidden + 2 * s.router + 2 * s.choices +
              s.final_rows + s.logits + 4 * s.rotations);
}

WorkspaceSizes WorkspaceSizesOf(const ModelConfig& config,
                                const ShardPlan& plan, int rank,
                                int64_t tokens) {
  const RankShard& shard = plan.shard(rank);
  const int64_t heads = shard.query_heads.size();
  WorkspaceSizes sizes;
  sizes.hidden = tokens * config.hidden_size;
  for (int64_t i = shard.layers.begin; i < shard.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    const int64_t dim = config.layers[i].head_dim;
    sizes.queries = std::max(sizes.queries, tokens * heads * dim);
    sizes.keys = std::max(
        sizes.keys, tokens * plan.KvHeads(config, rank, layer).size() * dim);
    sizes.columns = std::max(
        sizes.columns, tokens * plan.MlpColumns(config, rank, layer).size());
  }
  for (const LayerConfig& layer : config.layers) {
    sizes.rotations = std::max(sizes.rotations, tokens * layer.head_dim / 2);
  }
  if (config.per_layer_width > 0) {
    sizes.per_layer = tokens * shard.layers.size() * config.per_layer_width;
    sizes.per_layer_gate = tokens * config.per_layer_width;
    // The gathered rows pass through the gate's buffer.
    sizes.columns = std::max(sizes.columns, sizes.per_layer);
    if (shard.stage > 0) sizes.first_embedding = sizes.hidden;
  }
  if (config.num_experts > 0) {
    sizes.expert_hidden = sizes.hidden;
    sizes.router = tokens * config.num_experts;
    sizes.choices = tokens * config.experts_per_token;
  }
  if (shard.stage == plan.pp_size() - 1) {
    const int64_t rows = std::min(tokens, Model::kDeviceLogitRows);
    sizes.final_rows = rows * config.hidden_size;
    sizes.logits = rows * shard.vocab.size();
  }
  return sizes;
}

}  // namespace facet
