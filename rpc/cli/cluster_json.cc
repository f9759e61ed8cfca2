#include "rpc/cli/cluster_json.h"

#include <nlohmann/json.hpp>

namespace facet {

std::string ClusterJson(Cluster& cluster, const ModelInfo& info,
                        const NumericsOptions& numerics) {
  const ModelConfig& config = cluster.model();
  const ShardPlan& plan = cluster.plan();
  const KvPoolSizes pools = cluster.executor().pools();
  const int element = numerics.kv_format == KvFormat::kF32 ? 4 : 2;
  nlohmann::ordered_json json;
  json["model"] = info.name;
  json["layers"] = info.layers;
  json["context_tokens"] = info.context_tokens;
  json["vocab_size"] = info.vocab_size;
  json["pp"] = plan.pp_size();
  json["tp"] = plan.tp_size();
  json["ep"] = plan.ep_size();
  json["numerics"] = NumericsName(numerics);
  json["page_tokens"] = pools.page_tokens;
  json["kv_tokens"] = {
      {"sliding", int64_t{pools.sliding_pages} * pools.page_tokens},
      {"global", int64_t{pools.global_pages} * pools.page_tokens}};
  json["ranks"] = nlohmann::ordered_json::array();
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const RankShard& shard = plan.shard(rank);
    const auto kv_bytes = [&](LayerKind kind, int64_t pages) {
      return pages * pools.page_tokens *
             plan.KvBytesPerToken(config, rank, kind, element);
    };
    json["ranks"].push_back(
        {{"rank", rank},
         {"stage", shard.stage},
         {"tp_rank", shard.tp_rank},
         {"first_layer", shard.layers.begin},
         {"last_layer", shard.layers.end - 1},
         {"weight_bytes", plan.WeightBytes(config, rank)},
         {"kv_bytes", kv_bytes(LayerKind::kSliding, pools.sliding_pages) +
                          kv_bytes(LayerKind::kGlobal, pools.global_pages)}});
  }
  return json.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

}  // namespace facet
