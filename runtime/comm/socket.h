// The few socket calls the communicator needs, with errors that name the
// address. IPv4 and IPv6, numeric addresses only: "10.0.0.7:4123", "[::1]:80".
#ifndef FACET_RUNTIME_COMM_SOCKET_H_
#define FACET_RUNTIME_COMM_SOCKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/comm/unique_fd.h"

namespace facet {

// Listens on a free port, non-blocking; `*port` becomes the port.
absl::StatusOr<UniqueFd> ListenOnFreePort(const std::string& host, int* port);

// Begins to connect, non-blocking: the socket becomes writable when it is done.
absl::StatusOr<UniqueFd> StartConnect(const std::string& address);

// Sends small messages at once. Failure only costs time, so there is no error.
void SetNoDelay(int fd);

// A connection whose peer's machine is dead, or to or from which nothing comes
// through, breaks `within` some time, in whole seconds from 3 on, also while
// nothing is sent. A slow peer's does not: its kernel answers for it.
void NoticeDeadPeers(int fd, absl::Duration within);

// "host:port", with brackets around an IPv6 host.
std::string JoinHostPort(const std::string& host, int port);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_SOCKET_H_
