// The end of a step on the last stage: logits of the wanted rows, and one drawn
// token per sampling slice, with the vocabulary spread over the ranks of the
// stage. Best candidates are merged; whole rows of logits travel only where a
// request's sampling needs every token.
#ifndef FACET_RUNTIME_EXECUTOR_SAMPLE_STEP_H_
#define FACET_RUNTIME_EXECUTOR_SAMPLE_STEP_H_

#include "absl/status/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/config/model_config.h"
#include "runtime/model/model.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Adds this rank's blocks of logits and the drawn tokens, which are the same on
// all ranks of the stage, to `result`. Model::Forward(plan) has run; all ranks
// of the stage call it.
absl::Status SampleStep(const StepPlan& plan, const ModelConfig& config,
                        const ShardPlan& shards, int rank, Model& model,
                        Communicator& tp, StepResult& result);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_SAMPLE_STEP_H_
