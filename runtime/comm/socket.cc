#include "runtime/comm/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

absl::StatusOr<SocketAddress> Resolve(const std::string& host, int port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", host, "\" is no numeric IPv4 or IPv6 address such as 10.0.0.7"));
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  freeaddrinfo(found);
  if (address.storage.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
  }
  return address;
}

absl::StatusOr<SocketAddress> Resolve(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", address, "\" is no address of the form 10.0.0.7:4123"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return Resolve(host, port);
}

}  // namespace

std::string JoinHostPort(const std::string& host, int port) {
  if (host.find(':') != std::string::npos) {
    return absl::StrCat("[", host, "]:", port);
  }
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<UniqueFd> ListenOnFreePort(const std::string& host, int* port) {
  FACET_ASSIGN_OR_RETURN(SocketAddress address, Resolve(host, 0));
  UniqueFd fd(socket(address.storage.ss_family,
                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr* raw = reinterpret_cast<sockaddr*>(&address.storage);
  if (!fd.valid() || bind(fd.get(), raw, address.size) != 0 ||
      listen(fd.get(), SOMAXCONN) != 0 ||
      getsockname(fd.get(), raw, &address.size) != 0) {
    return absl::UnavailableError(
        absl::StrCat("listening on ", host, ": ", std::strerror(errno)));
  }
  *port = ntohs(address.storage.ss_family == AF_INET6
                    ? reinterpret_cast<sockaddr_in6*>(raw)->sin6_port
                    : reinterpret_cast<sockaddr_in*>(raw)->sin_port);
  return fd;
}

absl::StatusOr<UniqueFd> StartConnect(const std::string& address) {
  FACET_ASSIGN_OR_RETURN(SocketAddress to, Resolve(address));
  UniqueFd fd(socket(to.storage.ss_family,
                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid() ||
      (connect(fd.get(), reinterpret_cast<sockaddr*>(&to.storage), to.size) !=
           0 &&
       errno != EINPROGRESS)) {
    return absl::UnavailableError(
        absl::StrCat("connecting to ", address, ": ", std::strerror(errno)));
  }
  SetNoDelay(fd.get());
  return fd;
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void NoticeDeadPeers(int fd, absl::Duration within) {
  const int64_t seconds =
      std::clamp<int64_t>(absl::ToInt64Seconds(within), 3, 3600);
  const int on = 1;
  const int probes = 3;
  const int interval_s = static_cast<int>(std::max<int64_t>(1, seconds / 6));
  const int idle_s = static_cast<int>(
      std::max<int64_t>(1, seconds - int64_t{probes} * interval_s));
  const unsigned unacknowledged_ms = static_cast<unsigned>(seconds * 1000);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
             sizeof(unacknowledged_ms));
}

}  // namespace facet
