// Runs steps. The coordinator's loop hands each StepPlan to an Executor without
// knowing whether it is in this process, behind a network or a fake.
#ifndef FACET_RUNTIME_EXECUTOR_EXECUTOR_H_
#define FACET_RUNTIME_EXECUTOR_EXECUTOR_H_

#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// One thread at a time calls Execute().
class Executor {
 public:
  virtual ~Executor() = default;

  // Runs one step on all ranks and returns what they sampled.
  //
  // Errors:
  //   INVALID_ARGUMENT  ValidateStepPlan() refuses the plan; nothing ran
  //   UNAVAILABLE       a worker is gone; what the step did is undefined
  virtual absl::StatusOr<StepResult> Execute(const StepPlan& plan) = 0;

  // The pools every rank can offer, known once the weights are in place.
  virtual KvPoolSizes pools() const = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_EXECUTOR_H_
