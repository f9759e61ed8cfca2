// When the stages of a pipeline are done with a step, in simulated time.
//
// A stage takes steps in order, one at a time, each once the stage before has
// handed it over. A step that continues a sequence with kSampledToken waits in
// front of the first stage until the last one has drawn that token.
#ifndef FACET_SCHEDULER_SIMULATE_PIPELINE_CLOCK_H_
#define FACET_SCHEDULER_SIMULATE_PIPELINE_CLOCK_H_

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/simulate/step_cost.h"

namespace facet {

class PipelineClock {
 public:
  PipelineClock(const ModelFigures& model, const MachineFigures& machine,
                int stages);

  // Runs `plan`, which the workers receive at `now_s`. Returns the time at
  // which the last stage is done.
  double Run(const StepPlan& plan, double now_s);

  // New workers at `now_s`: nothing is under way. What the old ones would have
  // done later is not done.
  void Reset(double now_s);

  // Seconds in which stages have worked by `now_s`, all of them together.
  double BusySeconds(double now_s) const;

 private:
  const ModelFigures model_;
  const MachineFigures machine_;
  std::vector<double> free_s_;  // by stage: done with all steps so far
  // When the last token of a sequence was drawn.
  absl::flat_hash_map<SequenceId, double> drawn_s_;
  struct Work {
    double begin_s = 0;
    double end_s = 0;
  };
  std::vector<Work> under_way_;
  double done_s_ = 0;  // seconds of work that is not under way any more
};

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_PIPELINE_CLOCK_H_
