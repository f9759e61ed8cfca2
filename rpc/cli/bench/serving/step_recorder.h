// Stands between an engine and its executor and takes down what every step had
// to do and when it ran.
#ifndef FACET_RPC_CLI_BENCH_SERVING_STEP_RECORDER_H_
#define FACET_RPC_CLI_BENCH_SERVING_STEP_RECORDER_H_

#include <chrono>
#include <deque>
#include <mutex>
#include <vector>

#include "runtime/executor/executor.h"
#include "runtime/plan/work.h"

namespace facet {

using SteadyClock = std::chrono::steady_clock;

struct ServedStep {
  // From being handed over, or from the end of the step before where that came
  // later, to its result.
  SteadyClock::time_point begin;
  SteadyClock::time_point end;
  double compute_s = 0;  // of the slowest rank, as it says itself
  std::vector<SliceShape> slices;

  int64_t tokens() const {
    int64_t sum = 0;
    for (const SliceShape& slice : slices) sum += slice.tokens;
    return sum;
  }
  // One token of each sequence and no more.
  bool only_decodes() const {
    return tokens() == static_cast<int64_t>(slices.size());
  }
};

class StepRecorder : public Executor {
 public:
  // `executor` outlives it.
  explicit StepRecorder(Executor* executor) : executor_(executor) {}

  absl::Status Start(const StepPlan& plan) override;
  absl::StatusOr<StepResult> Finish() override;
  absl::Status Resume() override;
  KvPoolSizes pools() const override { return executor_->pools(); }
  int stages() const override { return executor_->stages(); }

  // Steps that have ended since the last call, those that computed nothing left
  // out. From any thread.
  std::vector<ServedStep> Take();

 private:
  Executor* const executor_;
  std::deque<ServedStep> unfinished_;
  SteadyClock::time_point last_end_;
  std::mutex mutex_;  // of finished_
  std::vector<ServedStep> finished_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SERVING_STEP_RECORDER_H_
