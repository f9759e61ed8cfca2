// The best tokens of rows whose vocabulary is spread over ranks.
#ifndef FACET_RUNTIME_EXECUTOR_MERGE_TOP_H_
#define FACET_RUNTIME_EXECUTOR_MERGE_TOP_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/thread_pool.h"
#include "kernels/sampling/sampling.h"
#include "runtime/executor/vocab_group.h"

namespace facet {

struct TopWish {
  absl::Span<const float> logits;  // this rank's run of the vocabulary
  int count = 0;
  // What TopLogits() gives for them, at least `count` of it, where that is
  // known; the logits are not looked at then.
  const std::vector<TokenLogit>* own_top = nullptr;
};

// The `count` best tokens of the whole vocabulary, as TopLogits() gives them,
// for each row. All members call it with equal counts.
absl::StatusOr<std::vector<std::vector<TokenLogit>>> MergeTop(
    absl::Span<const TopWish> rows, const VocabGroup& group, ThreadPool& pool);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_MERGE_TOP_H_
