// The flags of every verb that runs a model, and what they mean together.
#ifndef FACET_RPC_CLI_MODEL_FLAGS_H_
#define FACET_RPC_CLI_MODEL_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "rpc/coordinator/cluster.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/shard_plan.h"

namespace facet {

// --workers, --tp, --pp, --ep and --stage-layers as given.
struct ParallelismFlags {
  std::optional<int> workers = {};
  std::optional<int> tp = {};
  std::optional<int> pp = {};
  std::optional<int> ep = {};
  std::vector<int> stage_layers = {};
};

void AddParallelismFlags(CLI::App* app, ParallelismFlags* flags);

// --workers alone means tensor parallelism where the model allows that many,
// otherwise pipeline stages. --tp and --pp imply the workers; of the three, one
// that is left out is worked out.
//
// Errors: INVALID_ARGUMENT naming the flags that disagree; those of
// ShardPlan::Create().
absl::StatusOr<ParallelismOptions> ResolveParallelism(
    const ParallelismFlags& flags, const ModelConfig& model);

struct ModelFlags {
  std::string model;
  ParallelismFlags parallelism;
  int chunk = 512;
  int threads = 0;
  std::string device = "cpu";
  std::string kv_memory = "1G";
  std::string numerics = "exact";
  std::optional<std::string> activations = {};
  std::string kv_format = "f32";
  bool check_weights = false;
  std::string chat_format = "auto";
  int page_tokens = 32;
};

// `required`: --model has to be given.
void AddModelFlags(CLI::App* app, ModelFlags* flags, bool required);

// Errors: INVALID_ARGUMENT naming the flag; those of ReadModelConfig() and
// ResolveParallelism().
absl::StatusOr<ClusterOptions> MakeClusterOptions(const ModelFlags& flags);

}  // namespace facet

#endif  // FACET_RPC_CLI_MODEL_FLAGS_H_
