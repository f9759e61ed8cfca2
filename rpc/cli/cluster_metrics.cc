#include "rpc/cli/cluster_metrics.h"

#include "rpc/control/build_id.h"

namespace facet {

std::unique_ptr<ServingMetrics> MakeClusterMetrics(
    Cluster& cluster, const ClusterMetricsOptions& options) {
  const ModelConfig& config = cluster.model();
  const ShardPlan& plan = cluster.plan();
  const KvPoolSizes pools = cluster.executor().pools();
  const bool f32_pages = options.numerics.kv_format == KvFormat::kF32;

  ServingMetricsOptions metrics_options;
  metrics_options.model_name = options.model_name;
  metrics_options.max_model_len = config.max_position_embeddings;
  metrics_options.world_size = plan.world_size();
  metrics_options.vllm_names = options.vllm_names;
  metrics_options.version = kVersion;
  metrics_options.numerics = NumericsName(options.numerics);
  metrics_options.page_tokens = pools.page_tokens;
  metrics_options.global_pages = pools.global_pages;
  metrics_options.kv_format = f32_pages ? "f32" : "bf16";
  metrics_options.prefix_cache = options.prefix_cache;
  auto metrics = std::make_unique<ServingMetrics>(metrics_options);

  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const auto bytes = [&](LayerKind kind, int64_t pages) {
      return pages * pools.page_tokens *
             plan.KvBytesPerToken(config, rank, kind, f32_pages ? 4 : 2);
    };
    metrics->SetWorkerKvBytes(
        rank, bytes(LayerKind::kSliding, pools.sliding_pages) +
                  bytes(LayerKind::kGlobal, pools.global_pages));
  }
  return metrics;
}

}  // namespace facet
