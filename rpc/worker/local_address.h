// Which of this machine's addresses faces a peer.
#ifndef FACET_RPC_WORKER_LOCAL_ADDRESS_H_
#define FACET_RPC_WORKER_LOCAL_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"

namespace facet {

// The numeric address this machine would reach `peer` (HOST:PORT) from;
// 127.0.0.1 for "unix:PATH". Sends nothing.
//
// Errors: INVALID_ARGUMENT for an address that is none, UNAVAILABLE when the
// name is unknown or there is no route.
absl::StatusOr<std::string> LocalAddressTowards(const std::string& peer);

}  // namespace facet

#endif  // FACET_RPC_WORKER_LOCAL_ADDRESS_H_
