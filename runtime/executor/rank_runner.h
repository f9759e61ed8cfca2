// One rank: its weights, its KV pages, its place in the communicators. Runs the
// steps it is given and decides nothing.
#ifndef FACET_RUNTIME_EXECUTOR_RANK_RUNNER_H_
#define FACET_RUNTIME_EXECUTOR_RANK_RUNNER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "kernels/backend/profile.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/comm/communicator.h"
#include "runtime/executor/executor.h"
#include "runtime/executor/rank_activity.h"
#include "runtime/plan/numerics.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Opens the device a rank computes on.
using OpenRankDevice = std::function<absl::StatusOr<std::unique_ptr<Device>>()>;

struct RankOptions {
  std::string model_directory;
  ParallelismOptions parallelism;
  int rank = 0;
  int num_threads = 1;
  std::vector<int> cpus;  // one per thread; empty: not pinned
  NumericsOptions numerics;
  KvPoolSizes pools;
  // Most tokens of one step: sizes the workspace.
  int max_step_tokens = 512;
  bool check_weights = false;  // reads every weight and refuses NaN and Inf
  // Where the time of every operation is added up; null: nowhere.
  Profile* profile = nullptr;
  OpenRankDevice open_device;  // none: this machine's processors
};

// The named numerics mode of this machine under `options`, or of a device in
// it: ranks with equal names compute equal bits, or in "fast-cuda" may share a
// cluster although none are promised. "f32" on every machine; with bf16
// activations the name tells whether a dot-product instruction takes part, on
// processors in fast mode too.
std::string NumericsMode(const NumericsOptions& options, bool on_device);

class RankRunner {
 public:
  // Maps the checkpoint, checks its tensors against the config, brings this
  // rank's byte ranges into memory and allocates the pools. `world` spans all
  // ranks of the plan.
  //
  // `before`: a rank that is of no more use, such as one whose world is lost.
  // Where it was the same rank of the same plan its weights stay in place;
  // otherwise its mapping of the checkpoint does, and only what is missing is
  // read. Pages and sequences are gone in any case. May be null.
  //
  // Errors: those of ReadModelConfig(), ShardPlan::Create(),
  // Checkpoint::Open(); INVALID_ARGUMENT for a missing or misshapen tensor;
  // RESOURCE_EXHAUSTED when the pools cannot be had, or a device has too little
  // memory; those of opening the device.
  static absl::StatusOr<std::unique_ptr<RankRunner>> Load(
      const RankOptions& options, std::unique_ptr<Communicator> world,
      const LoadProgress& progress,
      std::unique_ptr<RankRunner> before = nullptr);
  virtual ~RankRunner() = default;

  // This rank's part of one step. Tokens and log-probabilities come back on the
  // first rank of the last stage alone, blocks of logits on each rank of the
  // last stage. With several stages it may return before later ones have run.
  //
  // Errors: INVALID_ARGUMENT for a plan that ValidateStepPlan() refuses or that
  // names pages or sequences this rank does not know; those of the
  // communicator, after which the runner is of no use.
  virtual absl::StatusOr<StepResult> Run(const StepPlan& plan) = 0;

  // Unblocks a Run() that waits for a peer. From any thread.
  virtual void Abort(const absl::Status& status) = 0;

  // What it is doing. From any thread; never waits.
  virtual RankActivity activity() const { return RankActivity(); }
};

// The executor of a world of one rank in this process, on a thread of its own.
// `options.parallelism` is ignored.
absl::StatusOr<std::unique_ptr<Executor>> MakeLocalExecutor(
    const RankOptions& options, const LoadProgress& progress);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_RANK_RUNNER_H_
