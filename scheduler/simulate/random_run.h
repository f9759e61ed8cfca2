// One short simulated run of everything at once, drawn from a seed: tiny pools,
// tight limits, priorities, cancellations, samples of one prompt, masks,
// stop ids, rows of prompts, conversations, failures; and the checks that hold
// in all of them.
#ifndef FACET_SCHEDULER_SIMULATE_RANDOM_RUN_H_
#define FACET_SCHEDULER_SIMULATE_RANDOM_RUN_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/simulate/report.h"
#include "scheduler/simulate/simulation.h"

namespace facet {

// The options of the run, for a look at it.
SimulationOptions RandomOptions(uint64_t seed);

// What many runs together met, or they would prove little.
struct RunFacts {
  int64_t runs = 0;
  int64_t sequences = 0;
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t prefix_hits = 0;
  int64_t failures = 0;
  int64_t cancelled = 0;  // requests, deadlines included
  int64_t stopped = 0;    // sequences that a stop id ended
  int64_t placeholders = 0;
  int64_t masked_tokens = 0;
  int64_t prompt_logprobs = 0;
  int64_t logits_rows = 0;

  RunFacts& operator+=(const RunFacts& other);
};

// Changes plans on their way to the workers and results on their way back, so
// that a test can see that the checks find it.
struct Tampering {
  std::function<void(StepPlan*)> plan;
  std::function<void(StepResult*)> result;
};

// Runs it and checks that
//   - plans keep to the step protocol and memory's limits (PlanAudit),
//   - every answer is what the model draws behind the prompt alone, token by
//     token, with the log-probabilities and logits that were asked for,
//   - every sequence ends exactly once, and for the right reason,
//   - pools add up at any time, and nothing is held at the end,
//   - sequences are admitted in order,
//   - the first in order goes on: it begins before those that run could have
//     computed all they want, and then has a slice in one of (micro_batches +
//     max_unapplied) * (1 + max_sequences) steps, unless a mask is awaited.
// The last means that nobody starves: everybody becomes the first in order, as
// only so many requests come before it (see scheduler.h).
//
// Errors: INTERNAL saying what is wrong and at what simulated time.
absl::StatusOr<RunFacts> CheckRandomRun(uint64_t seed,
                                        const Tampering& tampering = {});

// What to type to see the run of `seed` again.
std::string HowToRepeat(uint64_t seed);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_RANDOM_RUN_H_
