// Serving without a model and without waiting: the real Scheduler, a
// FakeExecutor for what steps return, and a clock that jumps from event to
// event. StageSeconds() says how long a step takes.
//
// The driver does what a coordinator does: it adds requests as they arrive,
// plans steps as long as the scheduler offers any and may, applies results in
// order as they come back, cancels what clients leave, and after a failure asks
// the scheduler to compute everything anew.
//
// Everything is single-threaded and, for equal options, the same in every run
// except SimulationReport::scheduler_us.
#ifndef FACET_SCHEDULER_SIMULATE_SIMULATION_H_
#define FACET_SCHEDULER_SIMULATE_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/batching/scheduler.h"
#include "scheduler/simulate/report.h"
#include "scheduler/simulate/step_cost.h"
#include "scheduler/simulate/workload.h"

namespace facet {

// One sample of one request, as its client knows it.
struct SimSequence {
  SequenceId id;
  int request = 0;  // index in Workload::requests
  int sample = 0;
  std::vector<int32_t> prompt;
  std::vector<int32_t> answer;  // so far
};

struct SimulationOptions {
  SchedulerLimits limits;
  int stages = 1;
  ModelFigures model;
  MachineFigures machine;
  Workload workload;
  uint64_t seed = 1;               // of the prompts' tokens
  double end_s = kNever;           // what is not done then stays unfinished
  int64_t most_waiting = 1 << 20;  // requests beyond are turned away
  // Of sequences that `adjust` makes masked: each token's mask is there mask_s
  // after the token before.
  double mask_s = 0;
  std::function<std::shared_ptr<const TokenMask>(const SimSequence&)> mask;
  // Workers check all that a sequence has written in each of its steps, not
  // only what its window sees: slow where contexts are long.
  bool read_everything = false;
  // Has the last word on what the scheduler is given.
  std::function<void(const SimSequence&, SequenceRequest*)> adjust;
};

// Sees what happens. Each call may end the run with an error.
class SimulationObserver {
 public:
  virtual ~SimulationObserver() = default;
  virtual absl::Status OnAdd(const SimSequence& sequence,
                             const SequenceRequest& request);
  virtual absl::Status OnCancel(const SimSequence& sequence);
  virtual absl::Status OnMask(const SimSequence& sequence,
                              std::shared_ptr<const TokenMask> mask);
  // May change `plan` before it runs, as `result` before it is applied: so a
  // test can see that a fault is found.
  virtual absl::Status OnPlan(StepPlan* plan, const Scheduler& scheduler);
  virtual absl::Status OnResult(StepResult* result);
  // `sequence` has the token of the update already.
  virtual absl::Status OnUpdate(const SimSequence& sequence,
                                const SequenceUpdate& update);
  // Workers have lost everything; the scheduler knows.
  virtual absl::Status OnRestart();
  // Everything due at now_s has been done, planning included.
  virtual absl::Status AfterEvents(double now_s, const Scheduler& scheduler);
};

// Errors: INTERNAL when the scheduler and the executor do not agree, a sequence
// ends twice or goes on after its end, work is left but none is planned, or
// pages are left at the end; those of `observer`. Messages say at what time.
absl::StatusOr<SimulationReport> Simulate(
    const SimulationOptions& options, SimulationObserver* observer = nullptr);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_SIMULATION_H_
