#include "runtime/plan/shard_plan.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/plan/stage_cuts.h"
#include "runtime/plan/weight_bytes.h"

namespace facet {
namespace {

constexpr int kMaxVirtualShards = 8;
// Rows of the head come in runs of this many where the vocabulary allows, so
// that kernels meet whole tiles.
constexpr int64_t kVocabTile = 16;

bool IsPowerOfTwo(int64_t value) {
  return value > 0 && (value & (value - 1)) == 0;
}

int VirtualShards(const ModelConfig& model) {
  const auto divides_all = [&](int shards) {
    if (model.query_heads % shards != 0) return false;
    if (model.num_experts % shards != 0) return false;
    for (const LayerConfig& layer : model.layers) {
      if (layer.intermediate_size % shards != 0) return false;
    }
    return true;
  };
  int shards = kMaxVirtualShards;
  while (!divides_all(shards)) shards /= 2;
  return shards;
}

absl::Status CheckTp(int tp, int virtual_shards) {
  if (tp >= 1 && tp <= virtual_shards && IsPowerOfTwo(tp)) {
    return absl::OkStatus();
  }
  if (tp < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tp=", tp, ": must be at least 1; try tp=1"));
  }
  if (tp > virtual_shards) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tp=", tp, ": this model's heads, MLP widths and experts divide by at ",
        "most ", virtual_shards, "; try tp=", virtual_shards));
  }
  int below = 1;
  while (below * 2 < tp) below *= 2;
  return absl::InvalidArgumentError(absl::StrCat(
      "tp=", tp, ": must be a power of two; try tp=", below,
      below * 2 <= virtual_shards ? absl::StrCat(" or tp=", below * 2) : ""));
}

absl::Status CheckEp(const ModelConfig& model, int ep, int tp) {
  if (ep == 1) return absl::OkStatus();
  if (model.num_experts == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ep=", ep, ": the model is dense, it has no experts; try ep=1"));
  }
  const auto legal = [&](int value) {
    return value >= 1 && tp % value == 0 && model.num_experts % value == 0;
  };
  if (legal(ep)) return absl::OkStatus();
  // ep=1 is always legal, so the search ends.
  int nearest = std::clamp(ep, 1, tp);
  while (!legal(nearest)) --nearest;
  return absl::InvalidArgumentError(
      absl::StrCat("ep=", ep, ": must divide tp=", tp, " and the ",
                   model.num_experts, " experts; try ep=", nearest));
}

absl::Status CheckPp(const ModelConfig& model, int pp, int max_stages) {
  if (pp < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("pp=", pp, ": must be at least 1; try pp=1"));
  }
  if (pp <= max_stages) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("pp=", pp, ": the model's ", model.num_layers(),
                   " layers make at most ", max_stages, " stages",
                   max_stages < model.num_layers()
                       ? ", since layers that share K/V stay on one stage"
                       : "",
                   "; try pp=", max_stages));
}

absl::Status CheckStageLayers(const ModelConfig& model,
                              const ParallelismOptions& options) {
  const std::vector<int>& layers = options.stage_layers;
  if (static_cast<int>(layers.size()) != options.pp_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("stage_layers: expected pp=", options.pp_size,
                     " numbers, found ", layers.size()));
  }
  int64_t sum = 0;
  for (size_t stage = 0; stage < layers.size(); ++stage) {
    if (layers[stage] < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("stage_layers: stage ", stage, " has ", layers[stage],
                       " layers, expected at least 1"));
    }
    sum += layers[stage];
  }
  if (sum != model.num_layers()) {
    return absl::InvalidArgumentError(
        absl::StrCat("stage_layers: add up to ", sum, ", expected the model's ",
                     model.num_layers(), " layers"));
  }
  const std::vector<int> begins = LegalStageBegins(model);
  int begin = 0;
  for (size_t stage = 0; stage < layers.size(); ++stage) {
    const int nearest =
        *std::min_element(begins.begin(), begins.end(), [&](int a, int b) {
          return std::abs(a - begin) < std::abs(b - begin);
        });
    if (nearest != begin) {
      return absl::InvalidArgumentError(absl::StrCat(
          "stage_layers: stage ", stage, " begins at layer ", begin,
          ", which parts layers that share K/V from their owner; the nearest ",
          "legal cut is before layer ", nearest));
    }
    begin += layers[stage];
  }
  return absl::OkStatus();
}

IndexRange EvenSplit(int64_t count, int parts, int part) {
  return {count * part / parts, count * (part + 1) / parts};
}

}  // namespace

IndexRange ShardPlan::VocabSlice(int64_t vocab, int count, int i) {
  const int64_t tile = vocab >= kVocabTile * kMaxVirtualShards ? kVocabTile : 1;
  const auto border = [&](int64_t at) {
    return at == count ? vocab : vocab * at / count / tile * tile;
  };
  return {border(i), border(i + 1)};
}

absl::StatusOr<ShardPlan> ShardPlan::Create(const ModelConfig& model,
                                            const ParallelismOptions& options) {
  if (model.layers.empty()) {
    return absl::InvalidArgumentError("the model has no layers");
  }
  ShardPlan plan;
  plan.options_ = options;
  plan.virtual_shards_ = VirtualShards(model);
  const int tp = options.tp_size;
  const int ep = options.ep_size;
  FACET_RETURN_IF_ERROR(CheckTp(tp, plan.virtual_shards_));
  FACET_RETURN_IF_ERROR(CheckEp(model, ep, tp));
  FACET_RETURN_IF_ERROR(
      CheckPp(model, options.pp_size,
              static_cast<int>(LegalStageBegins(model).size())));
  if (options.stage_layers.empty()) {
    plan.options_.stage_layers = BalanceStages(model, options.pp_size);
  } else {
    FACET_RETURN_IF_ERROR(CheckStageLayers(model, options));
  }

  int64_t first_layer = 0;
  for (int stage = 0; stage < options.pp_size; ++stage) {
    const int64_t end_layer = first_layer + plan.options_.stage_layers[stage];
    for (int tp_rank = 0; tp_rank < tp; ++tp_rank) {
      RankShard shard;
      shard.rank = plan.world_size();
      shard.stage = stage;
      shard.tp_rank = tp_rank;
      shard.expert_replicas = tp / ep;
      shard.ep_rank = tp_rank / shard.expert_replicas;
      shard.expert_replica = tp_rank % shard.expert_replicas;
      shard.layers = {first_layer, end_layer};
      shard.query_heads = EvenSplit(model.query_heads, tp, tp_rank);
      shard.experts = EvenSplit(model.num_experts, ep, shard.ep_rank);
      if (stage == options.pp_size - 1) {
        shard.vocab = ShardPlan::VocabSlice(model.vocab_size, tp, tp_rank);
      }
      plan.shards_.push_back(shard);
    }
    first_layer = end_layer;
  }
  return plan;
}

IndexRange ShardPlan::KvHeads(const ModelConfig& model, int rank,
                              int layer) const {
  const IndexRange& heads = shards_[rank].query_heads;
  const int64_t group = model.query_heads / model.layers[layer].kv_heads;
  return {heads.begin / group, (heads.end - 1) / group + 1};
}

IndexRange ShardPlan::MlpColumns(const ModelConfig& model, int rank,
                                 int layer) const {
  return EvenSplit(model.layers[layer].intermediate_size, tp_size(),
                   shards_[rank].tp_rank);
}

int64_t ShardPlan::WeightBytes(const ModelConfig& model, int rank) const {
  const RankShard& shard = shards_[rank];
  int64_t bytes = StageWeightBytes(model);
  for (int64_t i = shard.layers.begin; i < shard.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    LayerSlice slice;
    slice.query_heads = shard.query_heads.size();
    slice.kv_heads = KvHeads(model, rank, layer).size();
    slice.mlp_columns = MlpColumns(model, rank, layer).size();
    slice.experts = shard.experts.size();
    bytes += LayerWeightBytes(model, layer, slice);
  }
  if (shard.stage == pp_size() - 1) {
    bytes += HeadWeightBytes(model, shard.vocab.size());
  }
  return bytes;
}

int64_t ShardPlan::KvBytesPerToken(const ModelConfig& model, int rank,
                                   LayerKind kind,
                                   int bytes_per_element) const {
  const RankShard& shard = shards_[rank];
  int64_t elements = 0;
  for (int64_t i = shard.layers.begin; i < shard.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    if (model.layers[layer].kind != kind || !model.owns_kv(layer)) continue;
    elements +=
        2 * KvHeads(model, rank, layer).size() * model.layers[layer].head_dim;
  }
  return elements * bytes_per_element;
}

}  // namespace facet
