#include "rpc/control/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {

absl::StatusOr<HostPort> ParseHostPort(const std::string& address) {
  const auto malformed = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "address \"", address, "\": expected HOST:PORT, e.g. 127.0.0.1:8002"));
  };
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return malformed();
  HostPort result;
  result.host = address.substr(0, colon);
  if (result.host.front() == '[') {
    if (result.host.size() < 3 || result.host.back() != ']') return malformed();
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find(':') != std::string::npos) {
    return malformed();
  }
  if (!absl::SimpleAtoi(address.substr(colon + 1), &result.port) ||
      result.port < 0 || result.port > 65535) {
    return malformed();
  }
  return result;
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

std::string ToString(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return absl::StrCat(v6 ? "[" : "", address.host, v6 ? "]:" : ":",
                      address.port);
}

absl::Status CheckCanListen(const std::string& address) {
  FACET_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(
      parsed.host.c_str(), absl::StrCat(parsed.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", address, ": ", gai_strerror(error)));
  }
  absl::Status status = absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": no usable address"));
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    const int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, one->ai_addr, one->ai_addrlen) == 0 && listen(fd, 1) == 0) {
      status = absl::OkStatus();
    } else {
      status = absl::UnavailableError(absl::StrCat("cannot listen on ", address,
                                                   ": ", std::strerror(errno)));
    }
    close(fd);
    if (status.ok()) break;
  }
  freeaddrinfo(found);
  return status;
}

}  // namespace facet
