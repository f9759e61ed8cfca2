// Runs steps. The coordinator's loop hands each StepPlan to an Executor without
// knowing whether it is in this process, behind a network or a fake.
#ifndef FACET_RUNTIME_EXECUTOR_EXECUTOR_H_
#define FACET_RUNTIME_EXECUTOR_EXECUTOR_H_

#include <deque>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Steps run one after the other, in the order they were handed over. One thread
// at a time calls it.
class Executor {
 public:
  virtual ~Executor() = default;

  // Hands over the next step. May return before it has run.
  //
  // REQUIRES: at most stages() steps are unfinished.
  //
  // Errors, here or from Finish():
  //   INVALID_ARGUMENT  ValidateStepPlan() refuses the plan; nothing ran
  //   UNAVAILABLE       a worker is gone; what the step did is undefined
  // After an error the steps handed over and not finished are void, and so is
  // what they would have returned. After UNAVAILABLE every call fails so, until
  // Resume() has succeeded.
  virtual absl::Status Start(const StepPlan& plan) = 0;

  // Waits for the oldest unfinished step on all ranks and returns what they
  // sampled. REQUIRES: there is one.
  virtual absl::StatusOr<StepResult> Finish() = 0;

  // After UNAVAILABLE: OK once steps can run again, on ranks that remember no
  // page and no sequence. Does not wait.
  //
  // Errors:
  //   UNAVAILABLE          not yet; the message says what is missing
  //   FAILED_PRECONDITION  never
  virtual absl::Status Resume();

  // One step, from beginning to end. REQUIRES: none is unfinished.
  absl::StatusOr<StepResult> Execute(const StepPlan& plan);

  // The pools every rank can offer, known once the weights are in place.
  virtual KvPoolSizes pools() const = 0;

  // Pipeline stages: so many steps run at once, and one more may be on its way.
  virtual int stages() const { return 1; }
};

// An executor whose steps run inside Start().
class SynchronousExecutor : public Executor {
 public:
  absl::Status Start(const StepPlan& plan) final;
  absl::StatusOr<StepResult> Finish() final;

 protected:
  virtual absl::StatusOr<StepResult> Run(const StepPlan& plan) = 0;

 private:
  std::deque<StepResult> finished_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_EXECUTOR_H_
