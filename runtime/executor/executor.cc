#include "runtime/executor/executor.h"

#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {

absl::Status Executor::Resume() {
  return absl::FailedPreconditionError("lost ranks are not replaced here");
}

absl::StatusOr<StepResult> Executor::Execute(const StepPlan& plan) {
  FACET_RETURN_IF_ERROR(Start(plan));
  return Finish();
}

absl::Status SynchronousExecutor::Start(const StepPlan& plan) {
  absl::StatusOr<StepResult> result = Run(plan);
  if (!result.ok()) {
    finished_.clear();
    return result.status();
  }
  finished_.push_back(*std::move(result));
  return absl::OkStatus();
}

absl::StatusOr<StepResult> SynchronousExecutor::Finish() {
  FACET_CHECK(!finished_.empty());
  StepResult result = std::move(finished_.front());
  finished_.pop_front();
  return result;
}

}  // namespace facet
