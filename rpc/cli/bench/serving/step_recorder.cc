#include "rpc/cli/bench/serving/step_recorder.h"

#include <algorithm>
#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

SliceShape ShapeOf(const SequenceSlice& slice) {
  SliceShape shape;
  shape.start = slice.start;
  shape.tokens = static_cast<int64_t>(slice.tokens.size());
  const bool all =
      slice.logits == LogitsWanted::kAll || slice.prompt_logprobs >= 0;
  const bool last = slice.sample || slice.logits == LogitsWanted::kLast;
  shape.head_rows = all ? shape.tokens : last ? 1 : 0;
  return shape;
}

}  // namespace

absl::Status StepRecorder::Start(const StepPlan& plan) {
  ServedStep step;
  step.begin = SteadyClock::now();
  step.slices.reserve(plan.slices.size());
  for (const SequenceSlice& slice : plan.slices) {
    step.slices.push_back(ShapeOf(slice));
  }
  FACET_RETURN_IF_ERROR(executor_->Start(plan));
  unfinished_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::StatusOr<StepResult> StepRecorder::Finish() {
  absl::StatusOr<StepResult> result = executor_->Finish();
  if (!result.ok() || unfinished_.empty()) return result;
  ServedStep step = std::move(unfinished_.front());
  unfinished_.pop_front();
  step.begin = std::max(step.begin, last_end_);
  step.end = last_end_ = SteadyClock::now();
  step.compute_s = absl::ToDoubleSeconds(result->compute);
  if (step.slices.empty()) return result;
  const std::lock_guard<std::mutex> lock(mutex_);
  finished_.push_back(std::move(step));
  return result;
}

absl::Status StepRecorder::Resume() {
  const absl::Status status = executor_->Resume();
  if (status.ok()) unfinished_.clear();
  return status;
}

std::vector<ServedStep> StepRecorder::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(finished_, {});
}

}  // namespace facet
