// The metrics of a cluster that serves: what is known of it once it runs.
#ifndef FACET_RPC_CLI_CLUSTER_METRICS_H_
#define FACET_RPC_CLI_CLUSTER_METRICS_H_

#include <memory>
#include <string>

#include "rpc/coordinator/cluster.h"
#include "rpc/metrics/serving_metrics.h"

namespace facet {

struct ClusterMetricsOptions {
  std::string model_name;
  NumericsOptions numerics;
  bool prefix_cache = false;
  bool vllm_names = false;
};

std::unique_ptr<ServingMetrics> MakeClusterMetrics(
    Cluster& cluster, const ClusterMetricsOptions& options);

}  // namespace facet

#endif  // FACET_RPC_CLI_CLUSTER_METRICS_H_
