// Takes the measurements of `facet bench` on a real cluster.
#ifndef FACET_RPC_CLI_BENCH_MEASURE_H_
#define FACET_RPC_CLI_BENCH_MEASURE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/cli/bench/bench_cluster.h"
#include "rpc/cli/bench/measurements.h"
#include "rpc/coordinator/cluster.h"
#include "runtime/config/model_config.h"

namespace facet {

// Which measurements to take.
struct BenchGroups {
  bool load = true;
  bool limits = true;
  bool decode = true;
  bool prefill = true;
  bool concurrency = true;
  bool context = true;
  bool collectives = true;
  bool memory = true;
  bool busy = true;
};

struct BenchOptions {
  ClusterOptions cluster;
  bool enlarge_kv =
      true;  // kv_bytes_per_worker is a default, take what it needs
  std::vector<int> prompts = {512};       // tokens, one measurement each
  std::vector<int> batches = {1, 8, 32};  // 1 is "decode", others "concurrency"
  int decode = 64;        // steps per repetition; a quarter above batch 1
  int batch_prompt = 64;  // tokens per sequence above batch 1
  int64_t context = 32768;  // tokens before the one of the long context
  int repeat = 3;
  BenchGroups groups;
  bool cold = false;  // drop the files from the page cache before each load
  bool compare_workers = false;
  bool compare_pipeline = false;
  // Told what is being measured, one line each.
  std::function<void(const std::string&)> progress;
};

// Threads of all workers together.
int ThreadsInUse(const BenchOptions& options);

// INVALID_ARGUMENT names the count that is out of range.
absl::Status CheckBenchOptions(const BenchOptions& options);
DecodeShape DecodeShapeOf(const BenchOptions& options, int batch);
// The cluster's options with KV memory for everything that will run.
ClusterOptions WithRoom(const BenchOptions& options, const ModelConfig& model);

// Errors: INVALID_ARGUMENT for counts out of range; FAILED_PRECONDITION when a
// batch never runs side by side; those of Cluster::Start() and of the steps.
absl::StatusOr<Measurements> Measure(const BenchOptions& options,
                                     const ModelConfig& model);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_MEASURE_H_
