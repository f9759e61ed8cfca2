#include "rpc/cli/plan_kubernetes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/byte_size.h"
#include "runtime/executor/device_plan.h"
#include "runtime/model/model.h"
#include "runtime/plan/shard_plan.h"
#include "scheduler/pages/pool_sizes.h"

namespace facet {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
// Of a GPU: what the driver, NCCL and the backend keep for themselves.
constexpr double kUsableOfGpu = 0.95;
constexpr int64_t kGpuOverhead = 1536 * kMiB;
// Of a node, beside weights: a process on a GPU, with its page-locked buffers,
// and one that computes itself.
constexpr int64_t kHostOfGpuWorker = 3 * kGiB;
constexpr int64_t kHostOfCpuWorker = kGiB / 2;
constexpr int64_t kCoordinatorMemory = 4 * kGiB;
constexpr int kCoordinatorCpus = 4;
constexpr int kCpusOfGpuWorker = 2;
constexpr int64_t kSharedMemoryPerWorker = 256 * kMiB;

int64_t RoundUp(int64_t bytes, int64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// What one worker, the neediest of all, takes.
struct WorkerNeeds {
  int64_t weights = 0;
  int64_t workspace = 0;
};

struct Sizes {
  ShardPlan plan;
  int workers_per_node = 1;
  WorkerNeeds worker;
  int64_t kv_bytes = 0;        // of each worker
  int64_t pod_memory = 0;      // of the workers of a node
  int64_t shared_memory = 0;   // of it, /dev/shm
  int pod_cpus = 1;            // of the workers of a node
  int threads_per_worker = 1;  // where processors compute
};

absl::Status CheckNode(const NodeType& node) {
  if (node.nodes < 1) return absl::InvalidArgumentError("--nodes: at least 1");
  if (node.gpus < 0) return absl::InvalidArgumentError("--gpus: at least 0");
  if (node.gpus > 0 && node.gpu_memory < kGiB) {
    return absl::InvalidArgumentError(
        "--gpu-memory is required with --gpus, e.g. --gpu-memory=80G");
  }
  if (node.gpus == 0 && (node.cpus < 1 || node.node_memory < kGiB)) {
    return absl::InvalidArgumentError(
        "without --gpus, --node-cpus and --node-memory are required, e.g. "
        "--node-cpus=16 --node-memory=64G");
  }
  return absl::OkStatus();
}

// Tensor ranks within a node, stages across, unless the flags say otherwise.
absl::StatusOr<ShardPlan> MakePlan(const ModelConfig& model,
                                   const KubernetesPlanOptions& options) {
  const NodeType& node = options.node;
  ParallelismFlags flags = options.parallelism;
  const int per_node = std::max(node.gpus, 1);
  const int asked = flags.workers.value_or(per_node * node.nodes);
  flags.workers = asked;
  if (!flags.tp.has_value() && !flags.pp.has_value() &&
      flags.stage_layers.empty() && asked % node.nodes == 0) {
    for (int tp = asked / node.nodes; tp >= 1; --tp) {
      ParallelismFlags attempt = flags;
      attempt.tp = tp;
      if (asked % tp == 0 && ResolveParallelism(attempt, model).ok()) {
        flags = attempt;
        break;
      }
    }
  }
  FACET_ASSIGN_OR_RETURN(const ParallelismOptions parallelism,
                         ResolveParallelism(flags, model));
  FACET_ASSIGN_OR_RETURN(ShardPlan plan, ShardPlan::Create(model, parallelism));
  const int world = plan.world_size();
  if (world % node.nodes != 0 ||
      (node.gpus > 0 && world != node.gpus * node.nodes)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%d workers (pp %d x tp %d) do not fill %d nodes%s", world,
        plan.pp_size(), plan.tp_size(), node.nodes,
        node.gpus > 0 ? absl::StrCat(" of ", node.gpus, " GPUs") : ""));
  }
  return plan;
}

WorkerNeeds NeedsOf(const ModelConfig& model, const ShardPlan& plan,
                    int chunk_tokens) {
  WorkerNeeds most;
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    most.weights = std::max(most.weights, PlacedWeightBytes(model, plan, rank));
    most.workspace = std::max(
        most.workspace, Model::WorkspaceBytes(model, plan, rank, chunk_tokens));
  }
  return most;
}

// Whether the pages hold a sequence at all.
absl::Status CheckPages(const ModelConfig& model, const ShardPlan& plan,
                        const KubernetesPlanOptions& options,
                        int64_t kv_bytes) {
  constexpr int kPageTokens = 32;
  PoolBudget budget;
  budget.kv_bytes = kv_bytes;
  budget.page_tokens = kPageTokens;
  budget.sliding_window = model.sliding_window;
  budget.max_positions = model.max_position_embeddings;
  budget.max_sequences = options.max_sequences;
  budget.chunk_tokens = options.chunk_tokens;
  const int element = options.kv_format == "f32" ? 4 : 2;
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const auto page_bytes = [&](LayerKind kind) {
      return kPageTokens * plan.KvBytesPerToken(model, rank, kind, element);
    };
    budget.by_rank.push_back(
        {page_bytes(LayerKind::kSliding), page_bytes(LayerKind::kGlobal)});
  }
  return ChoosePoolSizes(budget).status();
}

absl::Status TooSmall(const char* what, int64_t has, int64_t needs,
                      const WorkerNeeds& worker) {
  return absl::ResourceExhaustedError(absl::StrCat(
      what, ": has ", FormatByteSize(has), ", needs more than ",
      FormatByteSize(needs), " (weights of a worker ",
      FormatByteSize(worker.weights), ", activations ",
      FormatByteSize(worker.workspace), "); take more or larger ones"));
}

absl::Status SizeGpuNode(const NodeType& node, Sizes* sizes) {
  const int64_t usable =
      static_cast<int64_t>(static_cast<double>(node.gpu_memory) *
                           kUsableOfGpu) -
      kGpuOverhead;
  const int64_t taken = sizes->worker.weights + sizes->worker.workspace;
  if (usable <= taken) {
    return TooSmall("GPU", node.gpu_memory, taken + node.gpu_memory - usable,
                    sizes->worker);
  }
  sizes->kv_bytes = usable - taken;
  const int workers = sizes->workers_per_node;
  sizes->shared_memory = RoundUp(workers * kSharedMemoryPerWorker, kGiB);
  // Weights pass through the node's page cache, and stay there for the next
  // start.
  const int64_t without_cache =
      workers * kHostOfGpuWorker + sizes->shared_memory;
  const int64_t wanted =
      RoundUp(without_cache + workers * sizes->worker.weights, kGiB);
  sizes->pod_memory = wanted;
  if (node.node_memory > 0) {
    const int64_t left = node.node_memory - kCoordinatorMemory;
    if (left < without_cache) {
      return TooSmall("node", node.node_memory,
                      without_cache + kCoordinatorMemory, sizes->worker);
    }
    sizes->pod_memory = std::min(wanted, left / kGiB * kGiB);
  }
  sizes->pod_cpus = node.cpus > 0
                        ? std::max(node.cpus - kCoordinatorCpus, workers)
                        : workers * kCpusOfGpuWorker;
  return absl::OkStatus();
}

absl::Status SizeCpuNode(const NodeType& node, Sizes* sizes) {
  const int workers = sizes->workers_per_node;
  const int coordinator_cpus = node.cpus > kCoordinatorCpus ? 1 : 0;
  sizes->threads_per_worker =
      std::max((node.cpus - coordinator_cpus) / workers, 1);
  sizes->pod_cpus = sizes->threads_per_worker * workers;
  sizes->shared_memory = RoundUp(workers * kSharedMemoryPerWorker, kGiB);
  const int64_t taken = workers * (sizes->worker.weights +
                                   sizes->worker.workspace + kHostOfCpuWorker) +
                        sizes->shared_memory + kCoordinatorMemory;
  if (node.node_memory <= taken) {
    return TooSmall("node", node.node_memory, taken, sizes->worker);
  }
  sizes->kv_bytes = (node.node_memory - taken) / workers;
  sizes->pod_memory = (node.node_memory - kCoordinatorMemory) / kGiB * kGiB;
  return absl::OkStatus();
}

absl::StatusOr<Sizes> SizeCluster(const ModelConfig& model,
                                  const KubernetesPlanOptions& options) {
  FACET_RETURN_IF_ERROR(CheckNode(options.node));
  Sizes sizes;
  FACET_ASSIGN_OR_RETURN(sizes.plan, MakePlan(model, options));
  sizes.workers_per_node = sizes.plan.world_size() / options.node.nodes;
  sizes.worker = NeedsOf(model, sizes.plan, options.chunk_tokens);
  FACET_RETURN_IF_ERROR(options.node.gpus > 0
                            ? SizeGpuNode(options.node, &sizes)
                            : SizeCpuNode(options.node, &sizes));
  sizes.kv_bytes = sizes.kv_bytes / kMiB * kMiB;
  const absl::Status pages =
      CheckPages(model, sizes.plan, options, sizes.kv_bytes);
  if (!pages.ok()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "weights and activations leave ", FormatByteSize(sizes.kv_bytes),
        " for K/V: ",
        std::string(pages.message().data(), pages.message().size())));
  }
  return sizes;
}

std::string Memory(int64_t bytes) {
  return absl::StrCat((bytes + kMiB - 1) / kMiB, "Mi");
}

// Requests that are limits too: nobody takes them away.
std::string Resources(int cpus, int64_t memory, int gpus) {
  const std::string one = absl::StrCat(
      "{cpu: \"", cpus, "\", memory: ", Memory(memory),
      gpus > 0 ? absl::StrCat(", nvidia.com/gpu: \"", gpus, "\"") : "", "}");
  return absl::StrCat("{requests: ", one, ", limits: ", one, "}");
}

// One JSON patch of a workload.
class Patch {
 public:
  Patch(const std::string& kind, const std::string& name)
      : text_(absl::StrCat("  - target: {kind: ", kind, ", name: ", name,
                           "}\n    patch: |-\n")) {}

  void Set(const std::string& op, const std::string& path,
           const std::string& value) {
    absl::StrAppend(&text_, "      - op: ", op, "\n        path: ", path,
                    "\n        value: ", value, "\n");
  }

  // `pod` is the path of a pod's spec; its volume 1 is /dev/shm.
  void SetWorkers(const std::string& pod, int container, const Sizes& sizes,
                  int gpus) {
    SetResources(pod, container,
                 Resources(sizes.pod_cpus, sizes.pod_memory, gpus));
    SetSharedMemory(pod, sizes, gpus);
  }
  void SetResources(const std::string& pod, int container,
                    const std::string& resources) {
    Set("replace", absl::StrCat(pod, "/containers/", container, "/resources"),
        resources);
  }
  void SetSharedMemory(const std::string& pod, const Sizes& sizes, int gpus) {
    Set("replace", absl::StrCat(pod, "/volumes/1/emptyDir/sizeLimit"),
        Memory(sizes.shared_memory));
    if (gpus > 0) {
      Set("add", absl::StrCat(pod, "/tolerations"),
          "[{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]");
    }
  }

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string Patches(const KubernetesPlanOptions& options, const Sizes& sizes) {
  const NodeType& node = options.node;
  const std::string coordinator =
      Resources(node.gpus > 0 ? kCoordinatorCpus : 1, kCoordinatorMemory, 0);
  switch (options.form) {
    case WorkloadForm::kOneNode: {
      const std::string pod = "/spec/template/spec";
      Patch patch("Deployment", "facet");
      patch.SetResources(
          pod, 0,
          Resources(sizes.pod_cpus + (node.gpus > 0 ? kCoordinatorCpus : 1),
                    sizes.pod_memory + kCoordinatorMemory, node.gpus));
      patch.SetSharedMemory(pod, sizes, node.gpus);
      return patch.text();
    }
    case WorkloadForm::kLeaderWorkerSet: {
      const std::string group = "/spec/leaderWorkerTemplate";
      Patch patch("LeaderWorkerSet", "facet");
      patch.Set("replace", group + "/size", absl::StrCat(node.nodes));
      patch.SetResources(group + "/leaderTemplate/spec", 0, coordinator);
      patch.SetWorkers(group + "/leaderTemplate/spec", 1, sizes, node.gpus);
      patch.SetWorkers(group + "/workerTemplate/spec", 0, sizes, node.gpus);
      return patch.text();
    }
    case WorkloadForm::kStatefulSet: {
      const std::string pod = "/spec/template/spec";
      Patch leader("StatefulSet", "facet-coordinator");
      leader.SetResources(pod, 0, coordinator);
      Patch workers("StatefulSet", "facet-worker");
      workers.Set("replace", "/spec/replicas", absl::StrCat(node.nodes));
      workers.SetWorkers(pod, 0, sizes, node.gpus);
      return leader.text() + workers.text();
    }
  }
  return "";
}

using Flags = std::vector<std::pair<std::string, std::string>>;

std::string Literal(const std::string& file, const Flags& flags) {
  std::string text = absl::StrCat("      - |\n        ", file, "=");
  for (const auto& [name, value] : flags) {
    absl::StrAppend(&text, &flags[0].first == &name ? "" : "        ", name,
                    " = ", value, "\n");
  }
  return text;
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", text, "\"");
}

std::string FlagFiles(const KubernetesPlanOptions& options,
                      const Sizes& sizes) {
  const std::string device = options.node.gpus > 0 ? "cuda" : "cpu";
  const ParallelismOptions& parallelism = sizes.plan.options();
  Flags serve = {
      {"tp", absl::StrCat(parallelism.tp_size)},
      {"pp", absl::StrCat(parallelism.pp_size)},
      {"ep", absl::StrCat(parallelism.ep_size)},
      {"kv-memory", Quoted(absl::StrCat(sizes.kv_bytes / kMiB, "M"))},
      {"kv-format", Quoted(options.kv_format)},
      {"chunk", absl::StrCat(options.chunk_tokens)},
      {"max-sequences", absl::StrCat(options.max_sequences)}};
  if (options.node.gpus == 0) {
    serve.push_back({"threads", absl::StrCat(sizes.threads_per_worker)});
  }
  switch (options.form) {
    case WorkloadForm::kOneNode:
      serve.push_back({"device", Quoted(device)});
      break;
    case WorkloadForm::kLeaderWorkerSet:
      serve.push_back(
          {"workers-per-pod", absl::StrCat(sizes.workers_per_node)});
      break;
    case WorkloadForm::kStatefulSet:
      serve.push_back(
          {"expect-workers", absl::StrCat(sizes.plan.world_size())});
      break;
  }
  std::string text = Literal("serve.toml", serve);
  if (options.form != WorkloadForm::kOneNode) {
    text += Literal("worker.toml",
                    {{"workers", absl::StrCat(sizes.workers_per_node)},
                     {"device", Quoted(device)}});
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> KubernetesComponent(
    const ModelConfig& model, const KubernetesPlanOptions& options) {
  if (options.form == WorkloadForm::kOneNode && options.node.nodes != 1) {
    return absl::InvalidArgumentError(
        "--form=one-node: takes --nodes=1; several nodes take lws or "
        "statefulset");
  }
  FACET_ASSIGN_OR_RETURN(const Sizes sizes, SizeCluster(model, options));
  const NodeType& node = options.node;
  std::string text = absl::StrFormat(
      "# By facet plan --kubernetes: %d workers = pp %d x tp %d, ep %d, on %d "
      "%s"
      "\n# of %s. Each worker: weights %s, activations %s, K/V %s.\n",
      sizes.plan.world_size(), sizes.plan.pp_size(), sizes.plan.tp_size(),
      sizes.plan.ep_size(), node.nodes, node.nodes == 1 ? "node" : "nodes",
      node.gpus > 0 ? absl::StrFormat("%d GPUs with %s", node.gpus,
                                      FormatByteSize(node.gpu_memory))
                    : absl::StrFormat("%d CPUs with %s", node.cpus,
                                      FormatByteSize(node.node_memory)),
      FormatByteSize(sizes.worker.weights),
      FormatByteSize(sizes.worker.workspace), FormatByteSize(sizes.kv_bytes));
  absl::StrAppend(&text,
                  "apiVersion: kustomize.config.k8s.io/v1alpha1\n"
                  "kind: Component\n"
                  "configMapGenerator:\n"
                  "  - name: facet\n"
                  "    namespace: facet\n"
                  "    behavior: merge\n"
                  "    literals:\n",
                  FlagFiles(options, sizes), "patches:\n",
                  Patches(options, sizes));
  return text;
}

}  // namespace facet
