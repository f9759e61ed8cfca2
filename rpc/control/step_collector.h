// Joins what the ranks send back for one step into its result. Pure: no
// threads, no network.
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
  // another step, given twice, tokens from a second rank, rows or vocabulary
  // out of range, a piece out of place. The message names it.
  absl::Status Add(int rank, LogitsPiece piece);
  absl::Status Add(int rank, StepResult result);

  bool complete() const { return answered_ == static_cast<int>(ranks_.size()); }
  // Ranks whose result has not come, ascending.
  std::vector<int> Missing() const;

  // Tokens in slice order; blocks in slice order and, within a slice, by
  // vocab_begin; the compute time of the slowest rank. REQUIRES: complete().
  //
  // Errors: INTERNAL when no rank sent the tokens the plan asks for.
  absl::StatusOr<StepResult> Take();

 private:
  struct Rank {
    bool answered = false;
    std::vector<LogitsBlock> blocks;
  };

  const SequenceSlice* Slice(SequenceId sequence) const;

  const StepPlan* plan_;
  const int64_t vocab_size_;
  std::vector<Rank> ranks_;
  int answered_ = 0;
  StepResult result_;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_STEP_COLLECTOR_H_
