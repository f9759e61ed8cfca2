// Joins what the ranks send back for one step into its result. Pure: no
// threads, no network. Takes no more from a rank than the plan asks for, so a
// broken worker cannot fill the coordinator's memory.
#ifndef FACET_RPC_CONTROL_STEP_COLLECTOR_H_
#define FACET_RPC_CONTROL_STEP_COLLECTOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/convert/control_messages.h"
#include "runtime/plan/step_plan.h"

namespace facet {

class StepCollector {
 public:
  // `plan` outlives the collector.
  StepCollector(const StepPlan* plan, int world_size, int64_t vocab_size);

  // REQUIRES: 0 <= rank < world_size.
  //
  // Errors: INVALID_ARGUMENT for an answer that the plan did not ask for: of
  // another step, given twice, tokens from a second rank, rows, positions or
  // vocabulary out of range, a piece out of place. The message names it.
  absl::Status Add(int rank, LogitsPiece piece);
  absl::Status Add(int rank, PromptLogprobsPiece piece);
  absl::Status Add(int rank, StepResult result);

  // The rank's result has come.
  bool answered(int rank) const { return ranks_[rank].answered; }
  bool complete() const { return answered_ == static_cast<int>(ranks_.size()); }
  // Ranks whose result has not come, ascending.
  std::vector<int> Missing() const;

  // Tokens and prompt log-probabilities in slice order; blocks in slice order
  // and, within a slice, by vocab_begin; the compute time of each rank and of
  // the slowest. REQUIRES: complete().
  //
  // Errors: INTERNAL when no rank sent the tokens or the prompt
  // log-probabilities the plan asks for.
  absl::StatusOr<StepResult> Take();

 private:
  struct Rank {
    bool answered = false;
    std::vector<LogitsBlock> blocks;
    int64_t logits = 0;  // elements of those blocks
  };

  const SequenceSlice* Slice(SequenceId sequence) const;
  absl::Status CheckPromptLogprob(const PromptLogprob& entry);
  absl::Status CheckTokens() const;

  const StepPlan* plan_;
  const int64_t vocab_size_;
  int64_t logits_wanted_ = 0;  // elements the plan asks for
  std::vector<Rank> ranks_;
  int answered_ = 0;
  // Of prompt log-probabilities: the rank that sends them, and how many of each
  // slice have come. They come in order, so only slices from prompt_slice_ on
  // can get any.
  int prompt_rank_ = -1;
  size_t prompt_slice_ = 0;
  std::vector<int64_t> prompt_logprobs_;
  StepResult result_;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_STEP_COLLECTOR_H_
