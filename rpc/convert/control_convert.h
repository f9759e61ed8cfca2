// The one border between the control plane's wire and its C++ values. What
// comes in is checked number by number: a message that passes here breaks no
// invariant of its struct. Whether it makes sense for a model is checked later
// (ValidateStepPlan, ShardPlan::Create).
#ifndef FACET_RPC_CONVERT_CONTROL_CONVERT_H_
#define FACET_RPC_CONVERT_CONTROL_CONVERT_H_

#include <vector>

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

// The values one LogitsPiece holds at most: 2 MiB.
inline constexpr int64_t kMaxPieceValues = (int64_t{2} << 20) / 4;

// Cuts `block` into pieces of at most `max_values` values. Even an empty block
// is one piece. REQUIRES: block.values is full; max_values >= 1.
std::vector<LogitsPiece> CutLogits(uint64_t step, const LogitsBlock& block,
                                   int64_t max_values = kMaxPieceValues);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CONTROL_CONVERT_H_
