// One token for each row of logits, whose vocabulary is spread over ranks. The
// best candidates are merged; where every token may be drawn, ranks exchange
// sums of weights, never the weights themselves.
#ifndef FACET_RUNTIME_EXECUTOR_DRAW_TOKENS_H_
#define FACET_RUNTIME_EXECUTOR_DRAW_TOKENS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/thread_pool.h"
#include "kernels/sampling/sampling.h"
#include "runtime/executor/vocab_group.h"

namespace facet {

struct DrawWish {
  absl::Span<const float> logits;  // this rank's run; NaN: never drawn
  DrawOptions options;
  // Of a row with CandidatesOf(options) > 0: at least as many of the best of
  // this rank's run, as TopLogits() gives them; the logits may be absent then.
  const std::vector<TokenLogit>* own_top = nullptr;
};

// How many of the best tokens a draw is from; 0: all of them.
int CandidatesOf(const DrawOptions& options);

// What Draw() gives for all candidates of each row, on all members of the
// group. All call it, with equal options.
//
// Errors: DATA_LOSS when a row is all NaN; those of the communicator.
absl::StatusOr<std::vector<int32_t>> DrawTokens(absl::Span<const DrawWish> rows,
                                                const VocabGroup& group,
                                                ThreadPool& pool);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_DRAW_TOKENS_H_
