// Which prompts get how much of a step.
#ifndef FACET_SCHEDULER_BATCHING_PREFILL_BUDGET_H_
#define FACET_SCHEDULER_BATCHING_PREFILL_BUDGET_H_

#include <cstdint>
#include <vector>

namespace facet {

// One prompt that could go on.
struct PrefillWish {
  int64_t left = 0;   // tokens it has yet to compute
  int64_t most = 0;   // of them in this step; 0: it cannot go on
  int64_t chunk = 0;  // of them in this step: the answer
};

// Divides `budget` tokens over `wishes`, which come in order. The first that
// can go on gets half of it, rounded up; the rest goes to those with the least
// left, the earlier of equals first; what nobody else wants to the first again.
void DividePrefillBudget(int64_t budget, std::vector<PrefillWish>* wishes);

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_PREFILL_BUDGET_H_
