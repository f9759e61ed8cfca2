#include "runtime/executor/device_plan.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/model/model.h"

namespace facet {
namespace {

std::string Gigabytes(int64_t bytes) {
  return absl::StrFormat("%.2f GB", static_cast<double>(bytes) / 1e9);
}

// Of the embedding table that the first stage gathers from, and of those per
// layer; a head on the same rank shares the first.
int64_t TableBytes(const ModelConfig& model, const ShardPlan& plan, int rank) {
  const RankShard& shard = plan.shard(rank);
  int64_t values = 0;
  if (shard.stage == 0 || model.per_layer_width > 0) {
    values += model.vocab_size * model.hidden_size;
    if (model.tie_word_embeddings) {
      values -= shard.vocab.size() * model.hidden_size;
    }
  }
  if (model.per_layer_width > 0) {
    values += model.vocab_size * model.num_layers() * model.per_layer_width;
  }
  return 2 * values;
}

// The plan of the fewest ranks whose largest rank has at most `bytes` of
// weights.
std::optional<ParallelismOptions> SmallestPlan(const ModelConfig& model,
                                               int64_t bytes) {
  for (int ranks = 2; ranks <= 64; ranks *= 2) {
    for (int tp = std::min(ranks, 8); tp >= 1; tp /= 2) {
      ParallelismOptions options;
      options.tp_size = tp;
      options.pp_size = ranks / tp;
      options.ep_size = model.num_experts > 0 ? tp : 1;
      const auto plan = ShardPlan::Create(model, options);
      if (!plan.ok()) continue;
      int64_t largest = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        largest = std::max(largest, PlacedWeightBytes(model, *plan, rank));
      }
      if (largest <= bytes) return options;
    }
  }
  return std::nullopt;
}

// Of the products of a rank's layers.
int64_t WidestInput(const ModelConfig& model, const ShardPlan& plan, int rank) {
  const RankShard& shard = plan.shard(rank);
  int64_t widest = std::max<int64_t>(model.hidden_size, model.per_layer_width);
  for (int64_t i = shard.layers.begin; i < shard.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    widest =
        std::max({widest, shard.query_heads.size() * model.layers[i].head_dim,
                  plan.MlpColumns(model, rank, layer).size()});
  }
  return widest;
}

}  // namespace

BackendLimits LimitsOf(const ModelConfig& model, const ShardPlan& plan,
                       int rank, int64_t tokens) {
  BackendLimits limits;
  limits.tokens = tokens;
  for (const LayerConfig& layer : model.layers) {
    limits.head_dim = std::max(limits.head_dim, layer.head_dim);
  }
  if (model.num_experts > 0) {
    limits.experts_per_token = model.experts_per_token;
    limits.experts = plan.shard(rank).experts.size();
    limits.hidden = model.hidden_size;
    limits.expert_width = model.expert_width;
  }
  limits.widest_input = WidestInput(model, plan, rank);
  if (plan.shard(rank).stage == plan.pp_size() - 1) {
    limits.logit_rows = std::min(tokens, Model::kDeviceLogitRows);
    limits.vocab = plan.shard(rank).vocab.size();
  }
  return limits;
}

int64_t PlacedWeightBytes(const ModelConfig& model, const ShardPlan& plan,
                          int rank) {
  return plan.WeightBytes(model, rank) + TableBytes(model, plan, rank);
}

int64_t KvPageBytes(const ModelConfig& model, const ShardPlan& plan, int rank,
                    const KvPoolSizes& pools, int bytes_per_element) {
  const auto of = [&](LayerKind kind, int64_t pages) {
    return pages * pools.page_tokens *
           plan.KvBytesPerToken(model, rank, kind, bytes_per_element);
  };
  return of(LayerKind::kSliding, pools.sliding_pages) +
         of(LayerKind::kGlobal, pools.global_pages);
}

absl::Status CheckFits(const ModelConfig& model, const ShardPlan& plan,
                       int rank, const DeviceNeeds& needs,
                       const std::string& device, int64_t free_bytes) {
  const int64_t missing = needs.total() - free_bytes;
  if (missing <= 0) return absl::OkStatus();
  std::string message = absl::StrCat(
      device, ": rank ", rank, " of ", plan.world_size(), " needs ",
      Gigabytes(needs.total()), " (weights ", Gigabytes(needs.weights),
      ", K/V pages ", Gigabytes(needs.kv_pages), ", workspace ",
      Gigabytes(needs.workspace), "), ", Gigabytes(free_bytes), " are free, ",
      Gigabytes(missing), " are missing; ");
  const int64_t rest = needs.kv_pages + needs.workspace;
  if (needs.weights + needs.workspace < free_bytes) {
    absl::StrAppend(&message, "give at most --kv-memory=",
                    (free_bytes - needs.weights - needs.workspace) >> 20, "M");
    return absl::ResourceExhaustedError(message);
  }
  const auto fits = SmallestPlan(model, free_bytes - rest);
  if (fits.has_value()) {
    absl::StrAppend(&message, "--tp=", fits->tp_size, " --pp=", fits->pp_size,
                    " would fit on ", fits->tp_size * fits->pp_size,
                    " such devices");
  } else {
    absl::StrAppend(&message,
                    "no plan of up to 64 such devices would fit with these "
                    "K/V pages; give less --kv-memory or --chunk");
  }
  return absl::ResourceExhaustedError(message);
}

}  // namespace facet
