// A run of RandomOptions() and the checks that hold in all of them.
#ifndef FACET_SCHEDULER_SIMULATE_RANDOM_RUN_H_
#define FACET_SCHEDULER_SIMULATE_RANDOM_RUN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/simulate/run_checker.h"

namespace facet {

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
