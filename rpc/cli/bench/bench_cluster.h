// A running cluster with the driver of its steps, and the measurements that
// need nothing else.
#ifndef FACET_RPC_CLI_BENCH_BENCH_CLUSTER_H_
#define FACET_RPC_CLI_BENCH_BENCH_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/cli/bench/measurements.h"
#include "rpc/cli/bench/step_driver.h"
#include "rpc/coordinator/cluster.h"

namespace facet {

struct DecodeShape {
  int batch = 1;
  int prompt = 512;  // tokens of each sequence before it decodes
  int steps = 64;    // of each repetition; all go on with the same sequences
  int repeat = 3;
};

// The positions that each sequence of such a measurement takes.
int64_t MostPositions(const DecodeShape& shape, int max_step_tokens);

// What the machine allows at this moment; may be empty.
using SampleLimits = std::function<LimitSample()>;

class BenchCluster {
 public:
  // Errors: those of Cluster::Start().
  static absl::StatusOr<std::unique_ptr<BenchCluster>> Start(
      const ClusterOptions& options);

  const ShardPlan& plan() const { return cluster_->plan(); }

  // The steps that give a random prompt of `tokens` its first token.
  absl::StatusOr<std::vector<StepTiming>> RunPrompt(int tokens);

  // A short prompt and some tokens: first calls are slower than the rest.
  absl::Status WarmUp();

  // Appends to `runs`. Only steps in which all sequences decode and nothing
  // else runs are counted. `sample` is called before each repetition and after
  // the last, while nothing runs.
  //
  // Errors: FAILED_PRECONDITION when KV memory keeps them from running side by
  // side; INVALID_ARGUMENT when they do not divide over the pipeline stages.
  absl::Status Decode(const DecodeShape& shape, const SampleLimits& sample,
                      DecodeRuns* runs);
  absl::Status Prefill(int tokens, int repeat, const SampleLimits& sample,
                       PrefillRuns* runs);

  // Of all pages ever granted, over all ranks.
  int64_t KvBytesTouched() const;

  absl::Status Shutdown() { return cluster_->Shutdown(); }

 private:
  BenchCluster(const ClusterOptions& options, std::unique_ptr<Cluster> cluster);

  const ClusterOptions options_;
  const std::unique_ptr<Cluster> cluster_;
  StepDriver driver_;
  uint64_t next_seed_ = 1;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_BENCH_CLUSTER_H_
