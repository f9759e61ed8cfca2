// A workload drawn from a seed: Poisson arrivals of chats with people.
//
// Lengths follow two mixtures of two lognormal distributions each, chosen for
// the means of the ShareGPT conversations in arXiv:2309.06180 (161 tokens of
// prompt and 338 of answer):
//
//   prompt  70%  median  30, sigma 1.0    30%  median 255, sigma 1.0
//   answer  70%  median 355, sigma 0.7    30%  median  40, sigma 1.0
#ifndef FACET_SCHEDULER_SIMULATE_GENERATED_WORKLOAD_H_
#define FACET_SCHEDULER_SIMULATE_GENERATED_WORKLOAD_H_

#include <cstdint>

#include "scheduler/simulate/workload.h"

namespace facet {

struct WorkloadShape {
  uint64_t seed = 1;
  double rate = 1;          // new conversations per second
  double duration_s = 60;   // they begin in [0, duration_s)
  double length_scale = 1;  // of both mixtures
  int64_t most_prompt_tokens = 8192;
  int64_t most_output_tokens = 2048;
  // Every conversation begins with one of so many system prompts, equally
  // likely; 0: with none.
  int system_prompts = 0;
  int64_t system_prompt_tokens = 512;
  // A conversation goes on after a turn with this probability, once the person
  // has thought for an exponentially distributed time.
  double next_turn = 0;
  double think_s = 10;        // mean
  double cancelled = 0;       // share of requests whose client goes away
  double cancel_after_s = 5;  // mean of an exponential distribution
  double deadline_s = kNever;
  int samples = 1;
  // Mean time between failures; 0: none.
  double failure_every_s = 0;
  double recovery_s = 10;
};

Workload GenerateWorkload(const WorkloadShape& shape);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_GENERATED_WORKLOAD_H_
