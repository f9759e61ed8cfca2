// Steps on the control plane's wire: plans, results, and the pieces in which
// the large parts of a result travel. Used through control_convert.h.
#ifndef FACET_RPC_CONVERT_CONTROL_STEP_CONVERT_H_
#define FACET_RPC_CONVERT_CONTROL_STEP_CONVERT_H_

#include "absl/status/statusor.h"
#include "rpc/convert/control_messages.h"
#include "rpc/proto/control.pb.h"
#include "runtime/plan/step_plan.h"

namespace facet {

void Fill(const StepPlan& in, v1::StepPlan& out);
void Fill(const StepResult& in, v1::StepResult& out);
void Fill(const LogitsPiece& in, v1::LogitsPiece& out);
void Fill(const PromptLogprobsPiece& in, v1::PromptLogprobs& out);

// Errors: INVALID_ARGUMENT that names field, value and bounds.
absl::StatusOr<StepPlan> Parse(const v1::StepPlan& in);
absl::StatusOr<StepResult> Parse(const v1::StepResult& in);
absl::StatusOr<LogitsPiece> Parse(const v1::LogitsPiece& in);
absl::StatusOr<PromptLogprobsPiece> Parse(const v1::PromptLogprobs& in);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CONTROL_STEP_CONVERT_H_
