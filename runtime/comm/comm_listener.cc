#include <unistd.h>

#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/socket.h"

namespace facet {

absl::StatusOr<std::unique_ptr<CommListener>> CommListener::Create(
    const std::string& host) {
  int port = 0;
  FACET_ASSIGN_OR_RETURN(UniqueFd fd, ListenOnFreePort(host, &port));
  return std::unique_ptr<CommListener>(
      new CommListener(fd.Release(), host, port));
}

CommListener::CommListener(int fd, std::string host, int port)
    : fd_(fd), host_(std::move(host)), port_(port) {}

CommListener::~CommListener() { close(fd_); }

std::string CommListener::address() const { return JoinHostPort(host_, port_); }

}  // namespace facet
