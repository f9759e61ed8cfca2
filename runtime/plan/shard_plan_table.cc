// ToTable(): a ShardPlan for people.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/shard_plan.h"

namespace facet {
namespace {

constexpr size_t kColumns = 8;
using Row = std::array<std::string, kColumns>;

std::string Shown(const IndexRange& range) {
  if (range.size() <= 0) return "-";
  if (range.size() == 1) return absl::StrCat(range.begin);
  return absl::StrCat(range.begin, "-", range.end - 1);
}

std::string ShownBytes(int64_t bytes) {
  if (bytes < 1'000'000) return absl::StrFormat("%.1f kB", bytes * 1e-3);
  if (bytes < 1'000'000'000) return absl::StrFormat("%.1f MB", bytes * 1e-6);
  return absl::StrFormat("%.2f GB", bytes * 1e-9);
}

// KV heads of the rank's first layer of `kind` that owns K/V.
std::string ShownKvHeads(const ModelConfig& model, const ShardPlan& plan,
                         int rank, LayerKind kind) {
  const IndexRange& layers = plan.shard(rank).layers;
  for (int64_t i = layers.begin; i < layers.end; ++i) {
    const int layer = static_cast<int>(i);
    if (model.layers[layer].kind == kind && model.owns_kv(layer)) {
      return Shown(plan.KvHeads(model, rank, layer));
    }
  }
  return "-";
}

}  // namespace

std::string ToTable(const ModelConfig& model, const ShardPlan& plan) {
  std::vector<Row> rows = {{"rank", "stage", "layers", "query heads",
                            "kv heads (sliding, global)", "experts",
                            "vocabulary", "weights"}};
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const RankShard& shard = plan.shard(rank);
    std::string experts = Shown(shard.experts);
    if (model.num_experts > 0 && shard.expert_replicas > 1) {
      absl::StrAppend(&experts, " (tokens ", shard.expert_replica, "/",
                      shard.expert_replicas, ")");
    }
    rows.push_back(
        {absl::StrCat(rank), absl::StrCat(shard.stage), Shown(shard.layers),
         Shown(shard.query_heads),
         absl::StrCat(ShownKvHeads(model, plan, rank, LayerKind::kSliding),
                      ", ",
                      ShownKvHeads(model, plan, rank, LayerKind::kGlobal)),
         experts, Shown(shard.vocab),
         ShownBytes(plan.WeightBytes(model, rank))});
  }

  std::array<size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t c = 0; c < kColumns; ++c) {
      widths[c] = std::max(widths[c], row[c].size());
    }
  }
  std::string table;
  for (const Row& row : rows) {
    for (size_t c = 0; c < kColumns; ++c) {
      const std::string pad(widths[c] - row[c].size(), ' ');
      absl::StrAppend(&table, c == 0 ? "" : "  ", pad, row[c]);
    }
    table += '\n';
  }
  return table;
}

}  // namespace facet
