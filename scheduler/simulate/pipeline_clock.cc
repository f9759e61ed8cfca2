#include "scheduler/simulate/pipeline_clock.h"

#include <algorithm>

namespace facet {

PipelineClock::PipelineClock(const ModelFigures& model,
                             const MachineFigures& machine, int stages)
    : model_(model), machine_(machine), free_s_(stages, 0.0) {}

double PipelineClock::Run(const StepPlan& plan, double now_s) {
  for (const SequenceId id : plan.finished) drawn_s_.erase(id);
  double ready_s = now_s;
  for (const SequenceSlice& slice : plan.slices) {
    if (slice.tokens.front() != kSampledToken) continue;
    const auto drawn = drawn_s_.find(slice.sequence);
    if (drawn != drawn_s_.end()) ready_s = std::max(ready_s, drawn->second);
  }
  const double seconds =
      StageSeconds(plan, model_, machine_, static_cast<int>(free_s_.size()));
  for (double& free_s : free_s_) {
    free_s = std::max(free_s, ready_s) + seconds;
    ready_s = free_s;
    busy_s_ += seconds;
  }
  for (const SequenceSlice& slice : plan.slices) {
    if (slice.sample) drawn_s_[slice.sequence] = ready_s;
  }
  return ready_s;
}

void PipelineClock::Reset(double now_s) {
  std::fill(free_s_.begin(), free_s_.end(), now_s);
  drawn_s_.clear();
}

}  // namespace facet
