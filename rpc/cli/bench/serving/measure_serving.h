// Takes the measurements of `facet bench --serving`: the whole path from a
// request to its tokens, through front door, scheduler, engine and workers.
#ifndef FACET_RPC_CLI_BENCH_SERVING_MEASURE_SERVING_H_
#define FACET_RPC_CLI_BENCH_SERVING_MEASURE_SERVING_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/cli/bench/serving/serving_measurements.h"
#include "rpc/coordinator/cluster.h"
#include "runtime/config/model_config.h"

namespace facet {

struct ServingOptions {
  std::vector<int> concurrency = {1, 8, 32};
  // Requests a second; empty: half of what the fastest closed loop came to.
  std::vector<double> rates;
  double seconds = 20;  // of each window
  double length_scale = 0.125;
  uint64_t seed = 1;
  int shared_prompt = 2000;  // tokens; 0: not measured

  // A server elsewhere; otherwise one is started here.
  std::string server;
  ClusterOptions cluster;
  int threads = 1;         // of all its workers
  bool enlarge_kv = true;  // kv_bytes_per_worker is a default
  // Told what is being measured, one line each.
  std::function<void(const std::string&)> progress;
};

// `model` is that of options.cluster; null with a server elsewhere.
//
// Errors: INVALID_ARGUMENT for options out of range; those of
// EmbeddedModel::Start(), ConnectToServer() and RunLoad().
absl::StatusOr<ServingMeasurements> MeasureServing(
    const ServingOptions& options, const ModelConfig* model);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SERVING_MEASURE_SERVING_H_
