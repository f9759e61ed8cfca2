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
  const auto over =
      std::partition(under_way_.begin(), under_way_.end(),
                     [&](const Work& work) { return work.end_s > now_s; });
  for (auto work = over; work != under_way_.end(); ++work) {
    done_s_ += work->end_s - work->begin_s;
  }
  under_way_.erase(over, under_way_.end());
  for (double& free_s : free_s_) {
    const double begin_s = std::max(free_s, ready_s);
    free_s = ready_s = begin_s + seconds;
    under_way_.push_back({begin_s, free_s});
  }
  for (const SequenceSlice& slice : plan.slices) {
    if (slice.sample) drawn_s_[slice.sequence] = ready_s;
  }
  return ready_s;
}

double PipelineClock::BusySeconds(double now_s) const {
  double seconds = done_s_;
  for (const Work& work : under_way_) {
    seconds += std::max(0.0, std::min(work.end_s, now_s) - work.begin_s);
  }
  return seconds;
}

void PipelineClock::Reset(double now_s) {
  done_s_ = BusySeconds(now_s);
  under_way_.clear();
  std::fill(free_s_.begin(), free_s_.end(), now_s);
  drawn_s_.clear();
}

}  // namespace facet
