// What a rank remembers of each live sequence besides its pages: the token that
// its last slice drew, and, on the last stage, what a draw depends on.
#ifndef FACET_RUNTIME_EXECUTOR_SEQUENCE_MEMORY_H_
#define FACET_RUNTIME_EXECUTOR_SEQUENCE_MEMORY_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/sampling/adjust_logits.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Of one sequence, for sampling.
class SequenceHistory {
 public:
  SequenceHistory() = default;
  SequenceHistory(const SequenceStart& start, int64_t first_position);

  void Append(absl::Span<const int32_t> tokens);

  int64_t prompt_tokens() const { return prompt_tokens_; }
  absl::Span<const TokenBias> logit_bias() const { return logit_bias_; }
  absl::Span<const int32_t> late_tokens() const { return late_tokens_; }
  int64_t late_position() const { return late_position_; }

  // Every token of prompt and answer so far, once. Counted on demand, as few
  // sequences are penalised.
  absl::Span<const TokenUse> Uses();

 private:
  int64_t prompt_tokens_ = 0;
  std::vector<TokenBias> logit_bias_;
  std::vector<int32_t> late_tokens_;
  int64_t late_position_ = 0;
  int64_t first_position_ = 0;
  std::vector<int32_t> tokens_;  // from first_position_ on
  size_t counted_ = 0;           // of tokens_: in uses_
  std::vector<TokenUse> uses_;
  absl::flat_hash_map<int32_t, size_t> index_;  // token to its place in uses_
};

// Tokens that a step draws, in slice order, before this rank knows them.
struct StepDraws {
  uint64_t step = 0;
  std::vector<SequenceId> sequences;
};

class SequenceMemory {
 public:
  // `last_stage`: histories are kept, too.
  explicit SequenceMemory(bool last_stage) : last_stage_(last_stage) {}

  // Errors: INVALID_ARGUMENT when kSampledToken stands behind a slice that drew
  // nothing.
  absl::Status Check(const StepPlan& plan) const;

  // The last step whose draws `plan` needs; 0 when it needs none.
  uint64_t NeedsDrawsOf(const StepPlan& plan) const;

  // `plan` with tokens in place of kSampledToken. REQUIRES: Check() is OK and
  // the draws it needs are known.
  StepPlan Resolve(const StepPlan& plan) const;

  // Takes in a resolved plan before it runs; returns what it will draw.
  StepDraws Apply(const StepPlan& plan);

  // The tokens of `draws`, in its order. Those of sequences that ended or drew
  // again meanwhile are dropped.
  void Remember(const StepDraws& draws, absl::Span<const int32_t> tokens);

  // REQUIRES: the sequence is live, and this is the last stage.
  SequenceHistory& history(SequenceId sequence);

 private:
  struct Entry {
    uint64_t drawn_in = 0;  // the step of the slice before, if that drew
    int32_t drawn = 0;      // once known
    SequenceHistory history;
  };

  const bool last_stage_;
  absl::flat_hash_map<SequenceId, Entry> sequences_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_SEQUENCE_MEMORY_H_
