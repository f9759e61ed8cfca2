// The end of a step on the last stage: logits of the wanted rows,
// log-probabilities of prompts, and one drawn token per sampling slice, with
// the vocabulary spread over the ranks of the stage. What travels between them
// is candidates and sums; whole rows of logits only where a request wants them.
#ifndef FACET_RUNTIME_EXECUTOR_SAMPLE_STEP_H_
#define FACET_RUNTIME_EXECUTOR_SAMPLE_STEP_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/base/thread_pool.h"
#include "runtime/executor/row_scores.h"
#include "runtime/executor/sequence_memory.h"
#include "runtime/executor/vocab_group.h"
#include "runtime/model/model.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// One thread calls.
class StepSampler {
 public:
  // All arguments outlive it.
  StepSampler(const VocabGroup* group, Model* model, SequenceMemory* memory,
              ThreadPool* pool)
      : group_(*group), model_(*model), memory_(*memory), pool_(*pool) {}

  // Adds this rank's blocks of logits, and tokens and log-probabilities, which
  // are the same on all ranks of the stage, to `result`. Model::Forward(plan)
  // has run and `memory` has taken the plan in; all ranks of the stage call it.
  //
  // Errors: DATA_LOSS when logits are NaNs; those of the communicator.
  absl::Status Run(const StepPlan& plan, StepResult& result);

 private:
  struct Row;

  absl::Status AddBlocks(const StepPlan& plan, StepResult& result);
  absl::Status ScorePrompts(const StepPlan& plan, StepResult& result);
  absl::Status ScorePromptRows(absl::Span<const PromptLogprob> tokens,
                               absl::Span<const int64_t> indices,
                               absl::Span<const int> tops, StepResult& result);
  absl::Status Sample(const StepPlan& plan, StepResult& result);
  absl::Status SampleRows(absl::Span<Row> rows, StepResult& result);
  // Gives each row its logits, or its best ones where a device has the rest and
  // the draw needs no more.
  absl::Status ComputeRows(absl::Span<Row> rows);
  bool DrawsFromTop(const Row& row) const;
  // Makes of the logits what tokens are drawn from.
  void Adjust(Row& row);

  // Computes the logits of rows of the step into logits_; one span per row.
  absl::StatusOr<std::vector<absl::Span<float>>> Logits(
      absl::Span<const int64_t> indices);

  const VocabGroup& group_;
  Model& model_;
  SequenceMemory& memory_;
  ThreadPool& pool_;
  std::vector<float> logits_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_SAMPLE_STEP_H_
