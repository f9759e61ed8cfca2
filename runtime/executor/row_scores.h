// Log-probabilities of rows of logits, whose vocabulary is spread over ranks.
#ifndef FACET_RUNTIME_EXECUTOR_ROW_SCORES_H_
#define FACET_RUNTIME_EXECUTOR_ROW_SCORES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/thread_pool.h"
#include "runtime/executor/merge_top.h"
#include "runtime/executor/vocab_group.h"
#include "runtime/plan/step_plan.h"

namespace facet {

struct RowScores {
  float log_sum = 0;              // log of sum exp(logit) over the vocabulary
  std::vector<TokenLogprob> top;  // best first
};

// The same bits on all members and for every number of them. All call it.
//
// Errors: DATA_LOSS when a row's sum is not finite; those of the communicator.
absl::StatusOr<std::vector<RowScores>> ScoreRows(absl::Span<const TopWish> rows,
                                                 const VocabGroup& group,
                                                 ThreadPool& pool);

// A token's logit, known to the member in whose run it lies; `logit` of others
// is not looked at.
struct OwnLogit {
  int32_t token = 0;
  float logit = 0;
};
// The logits, on all members. All call it with equal tokens.
absl::StatusOr<std::vector<float>> ShareLogits(
    absl::Span<const OwnLogit> tokens, const VocabGroup& group);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_ROW_SCORES_H_
