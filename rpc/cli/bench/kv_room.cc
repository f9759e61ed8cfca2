#include "rpc/cli/bench/kv_room.h"

#include <algorithm>

#include "runtime/plan/shard_plan.h"

namespace facet {

int64_t KvBytesForPositions(const ModelConfig& model,
                            const ClusterOptions& cluster, int64_t positions) {
  const auto plan = ShardPlan::Create(model, cluster.parallelism);
  if (!plan.ok()) return 0;
  const int element = cluster.numerics.kv_format == KvFormat::kF32 ? 4 : 2;
  int64_t bytes = 0;
  for (int rank = 0; rank < plan->world_size(); ++rank) {
    const int64_t dearer = std::max(
        plan->KvBytesPerToken(model, rank, LayerKind::kSliding, element),
        plan->KvBytesPerToken(model, rank, LayerKind::kGlobal, element));
    // Each pool can have half of the budget.
    bytes = std::max(bytes, 2 * dearer * (positions + cluster.page_tokens));
  }
  return bytes;
}

}  // namespace facet
