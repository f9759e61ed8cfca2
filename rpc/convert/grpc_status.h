// A status as gRPC's clients get it: with details they can act on.
#ifndef FACET_RPC_CONVERT_GRPC_STATUS_H_
#define FACET_RPC_CONVERT_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace facet {

// The details of rpc/proto/error_details.proto, serialized, go along. The field
// at fault is the word before the first colon of an INVALID_ARGUMENT's message.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_GRPC_STATUS_H_
