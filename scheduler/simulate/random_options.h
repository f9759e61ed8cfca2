// One short simulation of everything at once, drawn from a seed: tiny pools,
// tight limits, priorities, cancellations, samples of one prompt, masks, stop
// ids, rows of prompts, conversations, failures.
#ifndef FACET_SCHEDULER_SIMULATE_RANDOM_OPTIONS_H_
#define FACET_SCHEDULER_SIMULATE_RANDOM_OPTIONS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "scheduler/simulate/simulation.h"

namespace facet {

inline constexpr int64_t kRandomRunVocab = 97;

SimulationOptions RandomOptions(uint64_t seed);

// What `request` draws in such a simulation behind `tokens`, its prompt
// included, when it has the model to itself.
int32_t RandomRunToken(const SequenceRequest& request,
                       absl::Span<const int32_t> tokens);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_RANDOM_OPTIONS_H_
