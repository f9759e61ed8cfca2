#include "runtime/executor/rank_runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/backend/cpu_backend.h"
#include "kernels/base/cpu.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/thread_pool.h"
#include "kernels/matmul/matmul.h"
#include "runtime/executor/device_communicators.h"
#include "runtime/executor/device_plan.h"
#include "runtime/executor/sample_step.h"
#include "runtime/executor/sequence_memory.h"
#include "runtime/executor/vocab_group.h"
#include "runtime/kv_cache/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/weights.h"

namespace facet {
namespace {

absl::Span<uint8_t> Bytes(std::vector<int32_t>& tokens) {
  return absl::MakeSpan(reinterpret_cast<uint8_t*>(tokens.data()),
                        tokens.size() * sizeof(int32_t));
}

bool SamePlan(const ParallelismOptions& a, const ParallelismOptions& b) {
  return a.pp_size == b.pp_size && a.tp_size == b.tp_size &&
         a.ep_size == b.ep_size && a.stage_layers == b.stage_layers;
}

// Of a record that goes out with every heartbeat.
constexpr size_t kCallsOfActivity = 8;

class RankRunnerImpl : public RankRunner {
 public:
  RankRunnerImpl(const RankOptions& options,
                 std::unique_ptr<Communicator> world)
      : options_(options),
        world_(std::move(world)),
        pool_(options.num_threads, options.cpus) {}

  absl::Status Load(const LoadProgress& progress,
                    std::unique_ptr<RankRunner> before) {
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
    std::unique_ptr<Checkpoint> checkpoint;
    if (auto* rank = dynamic_cast<RankRunnerImpl*>(before.get())) {
      TakeOver(*rank, &checkpoint);
    }
    before = nullptr;  // its pages, before new ones are had
    if (weights_.layers.empty()) {
      FACET_RETURN_IF_ERROR(LoadWeights(std::move(checkpoint), progress));
    }
    FACET_ASSIGN_OR_RETURN(
        kv_cache_,
        KvCache::Create(config_, plan_, options_.rank, options_.pools,
                        options_.numerics.kv_format, device_.get()));
    std::vector<int> stage;
    const int first = plan_.shard(options_.rank).stage * plan_.tp_size();
    for (int r = 0; r < plan_.tp_size(); ++r) stage.push_back(first + r);
    FACET_ASSIGN_OR_RETURN(tp_, world_->Split(stage));
    Communicator* model_world = world_.get();
    Communicator* model_tp = tp_.get();
    if (device_ != nullptr) {
      FACET_ASSIGN_OR_RETURN(backend_, device_->MakeBackend(DeviceLimits()));
      ConnectOptions connect;
      // The largest sum is that of a step's dense and expert halves.
      connect.most_floats =
          int64_t{2} * options_.max_step_tokens * config_.hidden_size;
      connect.fast = options_.numerics.fast;
      FACET_ASSIGN_OR_RETURN(
          on_device_, ConnectDevices(world_.get(), tp_.get(), device_.get(),
                                     backend_.get(), connect));
      model_world = on_device_.world.get();
      model_tp = on_device_.tp.get();
    } else {
      backend_ = MakeCpuBackend(&pool_);
    }
    if (options_.profile != nullptr) {
      backend_ = MakeProfilingBackend(std::move(backend_), options_.profile);
    }
    NumericsOptions numerics = options_.numerics;
    // Processors have nothing to trade.
    if (device_ == nullptr) numerics.fast = false;
    model_ = std::make_unique<Model>(&config_, &plan_, options_.rank, numerics,
                                     &weights_, kv_cache_.get(), model_world,
                                     model_tp, backend_.get(), nullptr);
    if (device_ != nullptr) {
      FACET_RETURN_IF_ERROR(
          model_->ReserveOn(device_.get(), options_.max_step_tokens));
    }
    memory_ = std::make_unique<SequenceMemory>(last_stage());
    vocab_group_ = std::make_unique<VocabGroup>(&config_, &plan_, options_.rank,
                                                tp_.get());
    sampler_ = std::make_unique<StepSampler>(vocab_group_.get(), model_.get(),
                                             memory_.get(), &pool_);
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    BeginPart("preparing", plan.step, /*running=*/true);
    absl::StatusOr<StepResult> result = RunStep(plan);
    BeginPart("", plan.step, /*running=*/false);
    return result;
  }

  RankActivity activity() const override {
    RankActivity activity;
    activity.running = running_.load();
    activity.step = step_.load();
    activity.since = absl::Now() - absl::FromUnixNanos(since_.load());
    activity.operation = part_.load();
    activity.layer = model_->layer();
    if (activity.layer >= 0) activity.operation = "computing";
    activity.moves = turns_.load() + model_->marks();
    for (const Communicator* one :
         {static_cast<Communicator*>(world_.get()), on_device_.tp.get()}) {
      if (one == nullptr) continue;
      const CommActivity calls = one->activity();
      activity.moves += calls.moves;
      if (!calls.call.empty()) activity.operation = calls.call;
      if (calls.waits_for >= 0) {
        activity.waits_for = calls.waits_for;
        activity.waits = calls.waits;
      }
      const std::string last = one->LastCalls(kCallsOfActivity);
      if (!last.empty()) activity.calls = last;
    }
    return activity;
  }

  void Abort(const absl::Status& status) override {
    world_->Abort(status);
    if (on_device_.tp != nullptr) on_device_.tp->Abort(status);
    if (on_device_.world != nullptr) on_device_.world->Abort(status);
  }

 private:
  // For onlookers. `part` is a literal.
  void BeginPart(const char* part, uint64_t step, bool running) {
    part_.store(part);
    if (running != running_.load())
      since_.store(absl::ToUnixNanos(absl::Now()));
    step_.store(step);
    running_.store(running);
    turns_.fetch_add(1);
  }

  absl::StatusOr<StepResult> RunStep(const StepPlan& plan) {
    if (!thread_is_set_) {
      if (!options_.cpus.empty()) PinThisThread(options_.cpus[0]);
      PreferShortSlices();
      thread_is_set_ = true;
    }
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
    FACET_RETURN_IF_ERROR(memory_->Check(plan));
    FACET_RETURN_IF_ERROR(kv_cache_->Apply(plan));
    const uint64_t needed = memory_->NeedsDrawsOf(plan);
    FACET_RETURN_IF_ERROR(ReceiveDraws(std::max(needed, plan.completed)));
    FACET_ASSIGN_OR_RETURN(
        StepResult result,
        needed > 0 ? Compute(memory_->Resolve(plan)) : Compute(plan));
    result.step = plan.step;
    result.compute = absl::FromChrono(std::chrono::steady_clock::now() - start);
    if (plan_.shard(options_.rank).tp_rank != 0) {
      result.tokens.clear();
      result.prompt_logprobs.clear();
    }
    return result;
  }

  bool last_stage() const {
    return plan_.shard(options_.rank).stage == plan_.pp_size() - 1;
  }

  BackendLimits DeviceLimits() const {
    BackendLimits limits =
        LimitsOf(config_, plan_, options_.rank, options_.max_step_tokens);
    limits.fast = options_.numerics.fast;
    if (!Model::RoundsInputs(config_, options_.numerics)) {
      limits.widest_input = 0;
    }
    return limits;
  }

  // The weights of a rank whose world is over, or at least its checkpoint. A
  // device that holds other weights is let go.
  void TakeOver(RankRunnerImpl& before,
                std::unique_ptr<Checkpoint>* checkpoint) {
    before.DropWorld();
    const RankOptions& then = before.options_;
    if (then.model_directory != options_.model_directory) return;
    if (SamePlan(then.parallelism, options_.parallelism) &&
        then.rank == options_.rank) {
      device_ = std::move(before.device_);
      weights_ = std::move(before.weights_);
    } else {
      *checkpoint = std::move(before.weights_.checkpoint);
    }
  }

  // All but the weights and where they are.
  void DropWorld() {
    sampler_.reset();
    vocab_group_.reset();
    memory_.reset();
    model_.reset();
    on_device_ = DeviceCommunicators();
    backend_.reset();
    kv_cache_.reset();
    tp_.reset();
    world_.reset();
  }

  // `checkpoint`: where it is open already, else null.
  absl::Status LoadWeights(std::unique_ptr<Checkpoint> checkpoint,
                           const LoadProgress& progress) {
    if (checkpoint == nullptr) {
      FACET_ASSIGN_OR_RETURN(checkpoint,
                             Checkpoint::Open(options_.model_directory));
    }
    FACET_ASSIGN_OR_RETURN(weights_, SliceWeights(config_, plan_, options_.rank,
                                                  std::move(checkpoint)));
    if (options_.open_device == nullptr) {
      FACET_RETURN_IF_ERROR(
          DrawWeights(options_.num_threads, progress, &weights_));
      FACET_RETURN_IF_ERROR(
          Prefault(weights_.ranges, options_.num_threads, progress));
    }
    if (options_.check_weights) {
      FACET_RETURN_IF_ERROR(CheckFinite(weights_, options_.num_threads));
    }
    if (options_.open_device == nullptr) return absl::OkStatus();
    return LoadDevice(progress);
  }

  // Opens the device, sees whether it is large enough, and brings the weights
  // there.
  absl::Status LoadDevice(const LoadProgress& progress) {
    if (options_.profile != nullptr) {
      return absl::UnimplementedError(
          "a profile of operations is measured on --device=cpu alone: a "
          "device runs them long after they are asked for");
    }
    FACET_ASSIGN_OR_RETURN(device_, options_.open_device());
    const int element = options_.numerics.kv_format == KvFormat::kF32 ? 4 : 2;
    DeviceNeeds needs;
    needs.weights = PlacedBytes(weights_);
    needs.kv_pages =
        KvPageBytes(config_, plan_, options_.rank, options_.pools, element);
    needs.workspace =
        Model::WorkspaceBytes(config_, plan_, options_.rank,
                              options_.max_step_tokens) +
        static_cast<int64_t>(device_->BackendBytes(DeviceLimits()));
    FACET_RETURN_IF_ERROR(CheckFits(config_, plan_, options_.rank, needs,
                                    device_->name(), device_->free_bytes()));
    return PlaceWeights(device_.get(), progress, &weights_);
  }

  absl::StatusOr<StepResult> Compute(const StepPlan& plan) {
    StepDraws draws = memory_->Apply(plan);
    StepResult result;
    if (plan.slices.empty()) return result;
    BeginPart("embedding", plan.step, /*running=*/true);
    FACET_RETURN_IF_ERROR(model_->Forward(plan));
    BeginPart("drawing tokens", plan.step, /*running=*/true);
    if (!last_stage()) {
      backend_->HandOver();
      if (!draws.sequences.empty()) unread_.push_back(std::move(draws));
      return result;
    }
    FACET_RETURN_IF_ERROR(sampler_->Run(plan, result));
    // Perhaps nothing of this step was read, but peers wait for its sums.
    backend_->HandOver();
    FACET_RETURN_IF_ERROR(on_device_.status());
    if (!draws.sequences.empty()) {
      FACET_RETURN_IF_ERROR(SendDraws(draws, result.tokens));
    }
    return result;
  }

  // From the last stage to the rank with the same slice of every earlier one.
  absl::Status SendDraws(const StepDraws& draws,
                         const std::vector<SampledToken>& sampled) {
    std::vector<int32_t> tokens;
    for (const SampledToken& token : sampled) tokens.push_back(token.token);
    memory_->Remember(draws, tokens);
    const int tp_rank = plan_.shard(options_.rank).tp_rank;
    for (int stage = 0; stage + 1 < plan_.pp_size(); ++stage) {
      FACET_RETURN_IF_ERROR(
          world_->Send(Bytes(tokens), stage * plan_.tp_size() + tp_rank));
    }
    return absl::OkStatus();
  }

  // On an earlier stage: takes in what steps up to `step` drew, and leaves no
  // more unread than a link holds, so that the last stage never waits to send.
  absl::Status ReceiveDraws(uint64_t step) {
    constexpr size_t kMostUnread = 2048;
    size_t unread = 0;
    for (const StepDraws& draws : unread_) unread += draws.sequences.size();
    const int last = (plan_.pp_size() - 1) * plan_.tp_size() +
                     plan_.shard(options_.rank).tp_rank;
    while (!unread_.empty() &&
           (unread_.front().step <= step || unread > kMostUnread)) {
      std::vector<int32_t> tokens(unread_.front().sequences.size());
      FACET_RETURN_IF_ERROR(world_->Recv(Bytes(tokens), last));
      memory_->Remember(unread_.front(), tokens);
      unread -= tokens.size();
      unread_.pop_front();
    }
    return absl::OkStatus();
  }

  const RankOptions options_;
  std::unique_ptr<Communicator> world_;
  std::unique_ptr<Communicator> tp_;
  ThreadPool pool_;
  ModelConfig config_;
  ShardPlan plan_;
  std::unique_ptr<Device> device_;  // null: the processors
  Weights weights_;
  std::unique_ptr<KvCache> kv_cache_;
  std::unique_ptr<Backend> backend_;
  DeviceCommunicators on_device_;  // the same ranks, of a device's memory
  std::unique_ptr<Model> model_;
  std::unique_ptr<SequenceMemory> memory_;
  std::unique_ptr<VocabGroup> vocab_group_;
  std::unique_ptr<StepSampler> sampler_;
  std::deque<StepDraws> unread_;  // oldest first; none on the last stage
  bool thread_is_set_ = false;    // the one that calls Run()

  // For activity().
  std::atomic<bool> running_{false};
  std::atomic<uint64_t> step_{0};
  std::atomic<int64_t> since_{absl::ToUnixNanos(absl::Now())};
  std::atomic<const char*> part_{""};
  std::atomic<uint64_t> turns_{0};
};

}  // namespace

std::string NumericsMode(const NumericsOptions& options, bool on_device) {
  const bool dot = MatmulUsesBf16DotProduct();
  std::string mode = options.activations == Activations::kF32 ? "f32"
                     : on_device && options.fast              ? "fast-cuda"
                     : on_device                              ? "bf16-tensor"
                     : dot                                    ? "bf16-dot"
                                                              : "bf16-fma";
  if (options.kv_format == KvFormat::kBF16) mode += "+kv-bf16";
  return mode;
}

absl::StatusOr<std::unique_ptr<RankRunner>> RankRunner::Load(
    const RankOptions& options, std::unique_ptr<Communicator> world,
    const LoadProgress& progress, std::unique_ptr<RankRunner> before) {
  auto runner = std::make_unique<RankRunnerImpl>(options, std::move(world));
  FACET_RETURN_IF_ERROR(runner->Load(progress, std::move(before)));
  return runner;
}

}  // namespace facet
