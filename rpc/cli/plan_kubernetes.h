// `facet plan --kubernetes`: a plan as a Kustomize component, for an overlay of
// deploy/kubernetes to name.
#ifndef FACET_RPC_CLI_PLAN_KUBERNETES_H_
#define FACET_RPC_CLI_PLAN_KUBERNETES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "rpc/cli/model_flags.h"
#include "runtime/config/model_config.h"

namespace facet {

// Nodes of one kind, all of which one model takes.
struct NodeType {
  int nodes = 1;
  int gpus = 0;            // of each node; 0: its processors compute
  int64_t gpu_memory = 0;  // bytes of each GPU
  int cpus = 0;            // of each node for Facet; 0: 2 a worker, and 4
  int64_t node_memory =
      0;  // bytes of each node for Facet; 0: as many as needed
};

enum class WorkloadForm { kOneNode, kLeaderWorkerSet, kStatefulSet };

struct KubernetesPlanOptions {
  NodeType node;
  WorkloadForm form = WorkloadForm::kOneNode;
  // Where it says nothing: tensor ranks within a node, stages across nodes.
  ParallelismFlags parallelism;
  std::string kv_format = "f32";
  int chunk_tokens = 512;
  int max_sequences = 64;
};

// YAML of a kustomize.config.k8s.io/v1alpha1 Component: flags for serve.toml
// and worker.toml, numbers of pods, and resources. K/V pages get what weights
// and activations leave of the memory.
//
// Errors: those of ResolveParallelism(); INVALID_ARGUMENT for a node type that
// makes no sense, or workers that do not divide over the nodes;
// RESOURCE_EXHAUSTED saying what is missing when the model does not fit.
absl::StatusOr<std::string> KubernetesComponent(
    const ModelConfig& model, const KubernetesPlanOptions& options);

}  // namespace facet

#endif  // FACET_RPC_CLI_PLAN_KUBERNETES_H_
