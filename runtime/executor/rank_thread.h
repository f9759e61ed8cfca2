// A rank on a thread of its own, with a queue of steps: whoever hands them over
// goes on while they run.
#ifndef FACET_RUNTIME_EXECUTOR_RANK_THREAD_H_
#define FACET_RUNTIME_EXECUTOR_RANK_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/executor/rank_runner.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// One thread at a time calls Start() and Finish().
class RankThread {
 public:
  // `on_failure`, if any, is called by the thread with every error of Run()
  // but INVALID_ARGUMENT, which leaves the runner in order.
  explicit RankThread(
      std::unique_ptr<RankRunner> runner,
      std::function<void(const absl::Status&)> on_failure = nullptr);

  // Waits for the step that runs. Those behind it never do.
  ~RankThread();

  RankThread(const RankThread&) = delete;
  RankThread& operator=(const RankThread&) = delete;

  void Start(std::shared_ptr<const StepPlan> plan);

  // Waits for the oldest unfinished step. After an error those behind it are
  // void: none of them has run. REQUIRES: a step is unfinished.
  absl::StatusOr<StepResult> Finish();

  // Unblocks a step that waits for a peer. From any thread.
  void Abort(const absl::Status& status) { runner_->Abort(status); }

 private:
  void Loop();

  const std::unique_ptr<RankRunner> runner_;
  const std::function<void(const absl::Status&)> on_failure_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<const StepPlan>> plans_;  // the first may run
  std::deque<absl::StatusOr<StepResult>> results_;
  bool failed_ = false;  // an error waits in results_
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_RANK_THREAD_H_
