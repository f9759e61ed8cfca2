// What is remembered of a step until its result is there.
#ifndef FACET_SCHEDULER_BATCHING_PLANNED_STEP_H_
#define FACET_SCHEDULER_BATCHING_PLANNED_STEP_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "runtime/plan/step_plan.h"

namespace facet {

struct PlannedSlice {
  SequenceId sequence;
  uint64_t run = 0;  // of the sequence
  int64_t start = 0;
  int64_t count = 0;  // of tokens
  bool sample = false;
  bool logits = false;
  int64_t prompt_logprobs = 0;  // so many, from position start + 1 on
  int64_t end() const { return start + count; }
};

struct PlannedStep {
  uint64_t step = 0;
  std::vector<PlannedSlice> slices;
};

// OK when `result` answers the step: its number, one token for each slice that
// draws one and all log-probabilities of prompts, in order, and no logits but
// those that were asked for.
//
// Errors: INTERNAL saying what is amiss.
absl::Status CheckAnswers(const PlannedStep& step, const StepResult& result,
                          int64_t vocab_size);

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_PLANNED_STEP_H_
