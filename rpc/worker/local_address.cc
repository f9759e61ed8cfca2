#include "rpc/worker/local_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"

namespace facet {
namespace {

// Connecting a datagram socket only picks the route.
std::string SourceAddress(const addrinfo& peer) {
  const int fd = socket(peer.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "";
  sockaddr_storage own = {};
  socklen_t size = sizeof(own);
  char host[NI_MAXHOST] = "";
  if (connect(fd, peer.ai_addr, peer.ai_addrlen) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&own), size, host, sizeof(host),
                  nullptr, 0, NI_NUMERICHOST) != 0) {
    host[0] = '\0';
  }
  close(fd);
  return host;
}

}  // namespace

absl::StatusOr<std::string> LocalAddressTowards(const std::string& peer) {
  if (absl::StartsWith(peer, "unix:")) return std::string("127.0.0.1");
  FACET_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(peer));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(
      parsed.host.c_str(), absl::StrCat(parsed.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("address ", peer, ": ", gai_strerror(error)));
  }
  std::string source;
  for (const addrinfo* one = found; one != nullptr && source.empty();
       one = one->ai_next) {
    source = SourceAddress(*one);
  }
  freeaddrinfo(found);
  if (source.empty()) {
    return absl::UnavailableError(absl::StrCat("no route to ", peer));
  }
  return source;
}

}  // namespace facet
