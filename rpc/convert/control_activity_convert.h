// The part of control_convert.h that is about what a rank is doing.
#ifndef FACET_RPC_CONVERT_CONTROL_ACTIVITY_CONVERT_H_
#define FACET_RPC_CONVERT_CONTROL_ACTIVITY_CONVERT_H_

#include "absl/status/statusor.h"
#include "rpc/proto/control.pb.h"
#include "runtime/executor/rank_activity.h"

namespace facet {

// Texts are cut where they are too long.
void FillActivity(const RankActivity& in, v1::Activity& out);

// Errors: INVALID_ARGUMENT that names field, value and bounds. Texts that pass
// are printable ASCII: they are shown to people at terminals.
absl::StatusOr<RankActivity> ParseActivity(const v1::Activity& in);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CONTROL_ACTIVITY_CONVERT_H_
