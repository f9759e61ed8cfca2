// HOST:PORT of a server, tried before gRPC gets it: gRPC's own failure to bind
// is a page of log lines and no reason.
#ifndef FACET_RPC_CONTROL_LISTEN_ADDRESS_H_
#define FACET_RPC_CONTROL_LISTEN_ADDRESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace facet {

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  int port = 0;
};

// "127.0.0.1:8002", "[::1]:0", "localhost:80".
//
// Errors: INVALID_ARGUMENT that shows the form.
absl::StatusOr<HostPort> ParseHostPort(const std::string& address);
std::string ToString(const HostPort& address);

// Only this machine reaches it.
bool IsLoopback(const std::string& host);

// OK when a server can listen on `address` now.
//
// Errors: INVALID_ARGUMENT for a malformed or unknown host; UNAVAILABLE with
// the address and the system's reason.
absl::Status CheckCanListen(const std::string& address);

}  // namespace facet

#endif  // FACET_RPC_CONTROL_LISTEN_ADDRESS_H_
