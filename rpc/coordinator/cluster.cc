#include "rpc/coordinator/cluster.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/topology.h"
#include "rpc/control/remote_executor.h"
#include "rpc/coordinator/worker_group.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/executor/rank_device.h"
#include "runtime/executor/rank_runner.h"
#include "runtime/model/weights.h"
#include "scheduler/pages/pool_sizes.h"

namespace facet {
namespace {

// What can be known without a worker: a wrong directory or a plan that cannot
// be is refused before any process starts.
struct Prepared {
  ModelConfig model;
  ShardPlan plan;
  KvPoolSizes pools;
};

absl::StatusOr<KvPoolSizes> SizePools(const ClusterOptions& options,
                                      const ModelConfig& model,
                                      const ShardPlan& plan) {
  const int element = options.numerics.kv_format == KvFormat::kF32 ? 4 : 2;
  PoolBudget budget;
  budget.kv_bytes = options.kv_bytes_per_worker;
  budget.page_tokens = options.page_tokens;
  budget.sliding_window = model.sliding_window;
  budget.max_positions = model.max_position_embeddings;
  budget.max_sequences = options.max_sequences;
  budget.chunk_tokens = options.chunk_tokens;
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const auto page_bytes = [&](LayerKind kind) {
      return options.page_tokens *
             plan.KvBytesPerToken(model, rank, kind, element);
    };
    budget.by_rank.push_back(
        {page_bytes(LayerKind::kSliding), page_bytes(LayerKind::kGlobal)});
  }
  return ChoosePoolSizes(budget);
}

absl::StatusOr<Prepared> Prepare(const ClusterOptions& options) {
  Prepared prepared;
  FACET_ASSIGN_OR_RETURN(prepared.model,
                         ReadModelConfig(options.model_directory));
  FACET_ASSIGN_OR_RETURN(
      prepared.plan, ShardPlan::Create(prepared.model, options.parallelism));
  FACET_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                         Checkpoint::Open(options.model_directory));
  FACET_RETURN_IF_ERROR(CheckTensors(prepared.model, *checkpoint));
  FACET_ASSIGN_OR_RETURN(prepared.pools,
                         SizePools(options, prepared.model, prepared.plan));
  return prepared;
}

// One worker on a thread of the caller's: no processes, no network.
class LocalCluster : public Cluster {
 public:
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(
      const ClusterOptions& options, Prepared prepared) {
    RankOptions rank;
    FACET_ASSIGN_OR_RETURN(rank.open_device, ParseDevice(options.device, 0));
    rank.model_directory = options.model_directory;
    rank.num_threads = options.threads_per_worker > 0
                           ? options.threads_per_worker
                           : static_cast<int>(CoreCpus().size());
    rank.numerics = options.numerics;
    rank.pools = prepared.pools;
    rank.max_step_tokens = options.chunk_tokens;
    rank.check_weights = options.check_weights;
    rank.profile = options.profile;
    std::unique_ptr<LocalCluster> cluster(
        new LocalCluster(std::move(prepared)));
    FACET_ASSIGN_OR_RETURN(cluster->executor_,
                           MakeLocalExecutor(rank, options.load_progress));
    return cluster;
  }

  Executor& executor() override { return *executor_; }
  const ModelConfig& model() const override { return prepared_.model; }
  const ShardPlan& plan() const override { return prepared_.plan; }
  std::string control_address() const override { return ""; }
  absl::Status health() const override { return absl::OkStatus(); }
  ClusterCondition condition() const override {
    ClusterCondition cluster;
    cluster.epoch = 1;
    RankCondition& rank = cluster.ranks.emplace_back();
    rank.rank = 0;
    rank.host = "this process";
    rank.pid = getpid();
    rank.state = RankCondition::State::kReady;
    return cluster;
  }
  absl::Status Shutdown() override { return absl::OkStatus(); }

 private:
  explicit LocalCluster(Prepared prepared) : prepared_(std::move(prepared)) {}

  const Prepared prepared_;
  std::unique_ptr<Executor> executor_;
};

// Bytes a worker takes of its machine, at the most of all ranks.
struct Load {
  int64_t weights = 0;
  int64_t kv = 0;
};

Load MostOf(const ShardPlan& plan, const Prepared& known, int element) {
  Load most;
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    const auto pages = [&](LayerKind kind, int64_t count) {
      return count * known.pools.page_tokens *
             plan.KvBytesPerToken(known.model, rank, kind, element);
    };
    most.weights = std::max(most.weights, plan.WeightBytes(known.model, rank));
    most.kv = std::max(most.kv,
                       pages(LayerKind::kSliding, known.pools.sliding_pages) +
                           pages(LayerKind::kGlobal, known.pools.global_pages));
  }
  return most;
}

// Nine tenths of each machine's memory hold what its workers take.
bool Fits(const Load& load, const std::vector<WorkerRegistration>& workers) {
  for (const WorkerRegistration& machine : workers) {
    const int64_t here = std::count_if(
        workers.begin(), workers.end(), [&](const WorkerRegistration& one) {
          return one.endpoint.host_id == machine.endpoint.host_id;
        });
    if (here * (load.weights + load.kv) > machine.memory_bytes / 10 * 9) {
      return false;
    }
  }
  return true;
}

// How `workers` would divide the model: in stages of as many tensor ranks as
// the plan that was asked for has, or in one stage if it has one. Fewer workers
// than it has take any plan that goes.
absl::StatusOr<ParallelismOptions> PlanFor(
    const Prepared& known, int element,
    const std::vector<WorkerRegistration>& workers) {
  const int count = static_cast<int>(workers.size());
  const ParallelismOptions& wanted = known.plan.options();
  std::vector<int> sizes;
  if (wanted.pp_size == 1) sizes.push_back(count);
  sizes.push_back(wanted.tp_size);
  if (count < known.plan.world_size()) {
    for (int tp = count; tp >= 1; --tp) sizes.push_back(tp);
  }
  for (const int tp : sizes) {
    if (count % tp != 0) continue;
    for (int ep = std::min(wanted.ep_size, tp); ep >= 1; --ep) {
      ParallelismOptions options;
      options.tp_size = tp;
      options.pp_size = count / tp;
      options.ep_size = ep;
      const auto plan = ShardPlan::Create(known.model, options);
      if (plan.ok() && Fits(MostOf(*plan, known, element), workers)) {
        return plan->options();
      }
    }
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "no plan for ", count, " workers holds the model and its K/V pages"));
}

class RemoteCluster : public Cluster {
 public:
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(
      const ClusterOptions& options, Prepared prepared) {
    WorkerGroupOptions group;
    group.world_size = prepared.plan.world_size();
    group.remote = options.remote_workers;
    group.device = options.device;
    group.join_token = options.join_token;
    group.control_address = options.control_address;
    group.threads_per_worker = options.threads_per_worker;
    group.join_timeout = options.join_timeout;
    group.heartbeat_interval = options.heartbeat_interval;
    group.heartbeat_timeout = options.heartbeat_timeout;
    group.stall_timeout = options.stall_timeout;
    group.load_timeout = options.step_timeout;
    group.report = options.report;
    group.on_loss = options.on_loss;
    group.forming = options.forming;
    if (options.remote_workers) group.trust = options.trust;
    group.load_progress = options.load_progress;
    group.common.model_directory = options.model_directory;
    group.common.parallelism = prepared.plan.options();
    group.common.numerics = options.numerics;
    group.common.pools = prepared.pools;
    group.common.max_step_tokens = options.chunk_tokens;
    group.common.check_weights = options.check_weights;
    // A rank may wait for another's whole step; lost peers are noticed by the
    // coordinator, which aborts the wait.
    group.common.comm_timeout = options.step_timeout;

    std::unique_ptr<RemoteCluster> cluster(
        new RemoteCluster(std::move(prepared), options.step_timeout));
    const Prepared& known = cluster->prepared_;
    const int element = options.numerics.kv_format == KvFormat::kF32 ? 4 : 2;
    group.shrink_after = options.shrink_after;
    group.plan_for = [&known,
                      element](const std::vector<WorkerRegistration>& workers) {
      return PlanFor(known, element, workers);
    };
    FACET_ASSIGN_OR_RETURN(cluster->group_, WorkerGroup::Start(group));
    RemoteExecutorOptions executor;
    executor.pools = known.pools;
    executor.vocab_size = known.model.vocab_size;
    executor.stages = known.plan.options().pp_size;
    executor.step_timeout = options.step_timeout;
    executor.validate = [&known](const StepPlan& plan) {
      return ValidateStepPlan(plan, known.model, known.pools);
    };
    cluster->executor_ =
        MakeRemoteExecutor(cluster->group_.get(), std::move(executor));
    return cluster;
  }

  Executor& executor() override { return *executor_; }
  const ModelConfig& model() const override { return prepared_.model; }
  const ShardPlan& plan() const override { return prepared_.plan; }
  std::string control_address() const override {
    return group_->control_address();
  }
  absl::Status health() const override { return group_->world().status(); }
  ClusterCondition condition() const override {
    ClusterCondition cluster = group_->condition();
    cluster.step_timeout = step_timeout_;
    return cluster;
  }
  absl::Status Shutdown() override { return group_->Shutdown(); }

 private:
  RemoteCluster(Prepared prepared, absl::Duration step_timeout)
      : prepared_(std::move(prepared)), step_timeout_(step_timeout) {}

  const Prepared prepared_;
  const absl::Duration step_timeout_;
  std::unique_ptr<WorkerGroup> group_;
  std::unique_ptr<Executor> executor_;  // after group_: it goes first
};

}  // namespace

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(
    const ClusterOptions& options) {
  FACET_ASSIGN_OR_RETURN(Prepared prepared, Prepare(options));
  if (prepared.plan.world_size() == 1 && !options.remote_workers) {
    return LocalCluster::Start(options, std::move(prepared));
  }
  return RemoteCluster::Start(options, std::move(prepared));
}

}  // namespace facet
