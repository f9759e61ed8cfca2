// Which slice of the model each rank owns. A ShardPlan is arithmetic on a
// ModelConfig (no files, devices or network), so a plan for 64 ranks is checked
// in a millisecond on any machine. Choosing a good plan is
// scheduler/placement's business; this type only says what a chosen plan means.
//
// rank = stage * tp_size + tp_rank. Column and row splits: arXiv:1909.08053,
// sec. 3.
#ifndef FACET_RUNTIME_PLAN_SHARD_PLAN_H_
#define FACET_RUNTIME_PLAN_SHARD_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/config/model_config.h"

namespace facet {

// [begin, end)
struct IndexRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool contains(int64_t i) const { return begin <= i && i < end; }
  friend bool operator==(const IndexRange& a, const IndexRange& b) {
    return a.begin == b.begin && a.end == b.end;
  }
};

struct ParallelismOptions {
  int pp_size = 1;  // pipeline stages: consecutive runs of layers
  int tp_size = 1;  // ranks that share every layer of one stage
  int ep_size = 1;  // groups that divide the experts; divides tp_size
  // Layers of each stage, in order; empty: balanced by bytes of weights, cut
  // only where no layer is parted from the owner of its K/V.
  std::vector<int> stage_layers;
};

// The part of the model that one rank owns.
struct RankShard {
  int rank = 0;
  int stage = 0;
  int tp_rank = 0;
  int ep_rank = 0;         // tp_rank / (tp_size / ep_size)
  IndexRange layers;       // of [0, num_layers)
  IndexRange query_heads;  // of [0, query_heads)
  IndexRange experts;      // of [0, num_experts); empty in a dense model
  // Ranks of one expert group divide the tokens: this one computes the tokens
  // t of a step with t % expert_replicas == expert_replica.
  int expert_replica = 0;
  int expert_replicas = 1;  // tp_size / ep_size
  IndexRange vocab;         // rows of the head; empty before the last stage
};

// Immutable after Create(), so threads may share one.
class ShardPlan {
 public:
  ShardPlan() = default;

  // Errors:
  //   INVALID_ARGUMENT  a size is below 1; pp_size exceeds the layers or the
  //                     cuts that shared K/V allow; tp_size is no power of two
  //                     or exceeds virtual_shards(); ep_size does not divide
  //                     tp_size or the experts, or the model is dense;
  //                     stage_layers does not add up. The message names field,
  //                     value and the nearest legal choice.
  static absl::StatusOr<ShardPlan> Create(const ModelConfig& model,
                                          const ParallelismOptions& options);

  int world_size() const { return static_cast<int>(shards_.size()); }
  int pp_size() const { return options_.pp_size; }
  int tp_size() const { return options_.tp_size; }
  int ep_size() const { return options_.ep_size; }

  // With stage_layers filled in.
  const ParallelismOptions& options() const { return options_; }

  // Row-parallel products and expert sums are cut into this many equal parts
  // whatever tp_size is, and the parts are added along one binary tree; that is
  // why tp_size changes no bit. The largest power of two up to 8 that divides
  // the query heads, every intermediate_size and the experts.
  int virtual_shards() const { return virtual_shards_; }

  // REQUIRES: 0 <= rank < world_size().
  const RankShard& shard(int rank) const { return shards_[rank]; }

  // KV heads of `layer` that `rank`'s query heads read; ranks share heads when
  // tp_size exceeds kv_heads.
  IndexRange KvHeads(const ModelConfig& model, int rank, int layer) const;

  // Columns of `layer`'s dense MLP on `rank`.
  IndexRange MlpColumns(const ModelConfig& model, int rank, int layer) const;

  // Slice `i` of `count` of the vocabulary: ranks take these of tp_size, and
  // slices of virtual_shards() nest in them. REQUIRES: a power of two up to 8.
  static IndexRange VocabSlice(int64_t vocab, int count, int i);

  // Bytes of bf16 weights that `rank` reads, embedding rows on their way in not
  // counted (they are gathered one by one).
  int64_t WeightBytes(const ModelConfig& model, int rank) const;

  // Bytes of K and V per token over the layers of one kind on `rank`.
  int64_t KvBytesPerToken(const ModelConfig& model, int rank, LayerKind kind,
                          int bytes_per_element) const;

 private:
  ParallelismOptions options_;
  int virtual_shards_ = 1;
  std::vector<RankShard> shards_;
};

// One line per rank, with layers, heads, experts, vocabulary and bytes.
std::string ToTable(const ModelConfig& model, const ShardPlan& plan);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_SHARD_PLAN_H_
