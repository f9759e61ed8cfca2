// The one border between the control plane's wire and its C++ values. What
// comes in is checked number by number: a message that passes here breaks no
// invariant of its struct. Whether it makes sense for a model is checked later
// (ValidateStepPlan, ShardPlan::Create).
#ifndef FACET_RPC_CONVERT_CONTROL_CONVERT_H_
#define FACET_RPC_CONVERT_CONTROL_CONVERT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/convert/control_messages.h"
#include "rpc/proto/control.pb.h"

namespace facet {

v1::WorkerMessage ToProto(const WorkerMessage& message);
v1::CoordinatorMessage ToProto(const CoordinatorMessage& message);

// Errors: INVALID_ARGUMENT that names message, field, value and bounds.
absl::StatusOr<WorkerMessage> FromProto(const v1::WorkerMessage& proto);
absl::StatusOr<CoordinatorMessage> FromProto(
    const v1::CoordinatorMessage& proto);

// What either end takes in at most as one message. Answers are cut into pieces
// well below their limit; a plan is whole, and refused where it is too large.
inline constexpr int kMaxWorkerMessageBytes = 4 << 20;
inline constexpr int kMaxCoordinatorMessageBytes = 64 << 20;

// OK when `plan` is one message: at a vocabulary of 2^18, a thousand sequences
// with masks of their own, or fifty whose 2^18 earlier tokens are told anew.
//
// Errors: INVALID_ARGUMENT with its size and the limit.
absl::Status CheckFitsMessage(const StepPlan& plan);

// The values one LogitsPiece holds at most: 2 MiB.
inline constexpr int64_t kMaxPieceValues = (int64_t{2} << 20) / 4;

// Cuts `block` into pieces of at most `max_values` values. Even an empty block
// is one piece. REQUIRES: block.values is full; max_values >= 1.
std::vector<LogitsPiece> CutLogits(uint64_t step, const LogitsBlock& block,
                                   int64_t max_values = kMaxPieceValues);

// The entries one PromptLogprobsPiece holds at most: under 1 MiB.
inline constexpr int64_t kMaxPieceLogprobs = 1024;

// Cuts `logprobs` into pieces of at most `max_entries`; none for none.
// REQUIRES: max_entries >= 1.
std::vector<PromptLogprobsPiece> CutPromptLogprobs(
    uint64_t step, std::vector<PromptLogprob> logprobs,
    int64_t max_entries = kMaxPieceLogprobs);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CONTROL_CONVERT_H_
