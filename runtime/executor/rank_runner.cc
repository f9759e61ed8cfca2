#include "runtime/executor/rank_runner.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/cpu.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/thread_pool.h"
#include "kernels/matmul/matmul.h"
#include "runtime/executor/sample_step.h"
#include "runtime/kv_cache/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/weights.h"

namespace facet {
namespace {

class RankRunnerImpl : public RankRunner {
 public:
  RankRunnerImpl(const RankOptions& options,
                 std::unique_ptr<Communicator> world)
      : options_(options),
        world_(std::move(world)),
        pool_(options.num_threads, options.cpus) {}

  absl::Status Load(const LoadProgress& progress) {
    FACET_RETURN_IF_ERROR(ActiveIsaStatus().status());
    FACET_ASSIGN_OR_RETURN(config_, ReadModelConfig(options_.model_directory));
    FACET_ASSIGN_OR_RETURN(plan_,
                           ShardPlan::Create(config_, options_.parallelism));
    if (options_.rank < 0 || options_.rank >= plan_.world_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rank ", options_.rank, ": the plan has ranks 0 to ",
                       plan_.world_size() - 1));
    }
    if (options_.pools.page_tokens < 32 ||
        options_.pools.page_tokens % 32 != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("page_tokens ", options_.pools.page_tokens,
                       ": must be a multiple of 32, such as 32 or 64"));
    }
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint,
                           Checkpoint::Open(options_.model_directory));
    FACET_ASSIGN_OR_RETURN(weights_, SliceWeights(config_, plan_, options_.rank,
                                                  std::move(checkpoint)));
    FACET_RETURN_IF_ERROR(
        Prefault(weights_.ranges, options_.num_threads, progress));
    if (options_.check_weights) {
      FACET_RETURN_IF_ERROR(CheckFinite(weights_, options_.num_threads));
    }
    FACET_ASSIGN_OR_RETURN(
        kv_cache_,
        KvCache::Create(config_, plan_, options_.rank, options_.pools,
                        options_.numerics.kv_format));
    std::vector<int> stage;
    const int first = plan_.shard(options_.rank).stage * plan_.tp_size();
    for (int r = 0; r < plan_.tp_size(); ++r) stage.push_back(first + r);
    FACET_ASSIGN_OR_RETURN(tp_, world_->Split(stage));
    model_ = std::make_unique<Model>(
        &config_, &plan_, options_.rank, options_.numerics, &weights_,
        kv_cache_.get(), world_.get(), tp_.get(), &pool_, nullptr);
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    if (!pinned_ && !options_.cpus.empty()) PinThisThread(options_.cpus[0]);
    pinned_ = true;
    const auto start = std::chrono::steady_clock::now();
    FACET_RETURN_IF_ERROR(ValidateStepPlan(plan, config_, options_.pools));
    int64_t tokens = 0;
    for (const SequenceSlice& slice : plan.slices) {
      tokens += static_cast<int64_t>(slice.tokens.size());
    }
    if (tokens > options_.max_step_tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("step: ", tokens, " tokens, at most ",
                       options_.max_step_tokens, " fit one step"));
    }
    FACET_RETURN_IF_ERROR(kv_cache_->Apply(plan));
    FACET_ASSIGN_OR_RETURN(StepResult result, Compute(plan, start));
    result.step = plan.step;
    if (plan_.shard(options_.rank).tp_rank != 0) result.tokens.clear();
    return result;
  }

  void Abort(const absl::Status& status) override { world_->Abort(status); }

 private:
  absl::StatusOr<StepResult> Compute(
      const StepPlan& plan, std::chrono::steady_clock::time_point start) {
    StepResult result;
    if (!plan.slices.empty()) {
      FACET_RETURN_IF_ERROR(model_->Forward(plan));
      if (plan_.shard(options_.rank).stage == plan_.pp_size() - 1) {
        FACET_RETURN_IF_ERROR(SampleStep(plan, config_, plan_, options_.rank,
                                         *model_, *tp_, result));
      }
    }
    result.compute = absl::FromChrono(std::chrono::steady_clock::now() - start);
    return result;
  }

  const RankOptions options_;
  std::unique_ptr<Communicator> world_;
  std::unique_ptr<Communicator> tp_;
  ThreadPool pool_;
  ModelConfig config_;
  ShardPlan plan_;
  Weights weights_;
  std::unique_ptr<KvCache> kv_cache_;
  std::unique_ptr<Model> model_;
  bool pinned_ = false;
};

class LocalExecutor : public SynchronousExecutor {
 public:
  LocalExecutor(std::unique_ptr<RankRunner> runner, const KvPoolSizes& pools)
      : runner_(std::move(runner)), pools_(pools) {}

  KvPoolSizes pools() const override { return pools_; }

 protected:
  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    return runner_->Run(plan);
  }

 private:
  std::unique_ptr<RankRunner> runner_;
  const KvPoolSizes pools_;
};

}  // namespace

std::string NumericsMode(const NumericsOptions& options) {
  std::string mode = options.activations == Activations::kF32 ? "f32"
                     : MatmulUsesBf16DotProduct()             ? "bf16-dot"
                                                              : "bf16-fma";
  if (options.kv_format == KvFormat::kBF16) mode += "+kv-bf16";
  return mode;
}

absl::StatusOr<std::unique_ptr<RankRunner>> RankRunner::Load(
    const RankOptions& options, std::unique_ptr<Communicator> world,
    const LoadProgress& progress) {
  auto runner = std::make_unique<RankRunnerImpl>(options, std::move(world));
  FACET_RETURN_IF_ERROR(runner->Load(progress));
  return runner;
}

absl::StatusOr<std::unique_ptr<Executor>> MakeLocalExecutor(
    const RankOptions& options, const LoadProgress& progress) {
  RankOptions single = options;
  single.parallelism = {};
  single.rank = 0;
  FACET_ASSIGN_OR_RETURN(
      std::unique_ptr<RankRunner> runner,
      RankRunner::Load(single, MakeInProcessCommunicator(), progress));
  return std::make_unique<LocalExecutor>(std::move(runner), options.pools);
}

}  // namespace facet
