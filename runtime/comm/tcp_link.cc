#include "runtime/comm/tcp_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/add_floats.h"

namespace facet {
namespace {

// Moved by one call at most, so that both directions advance together.
constexpr size_t kTurn = 256 << 10;
constexpr size_t kStagingFloats = (64 << 10) / sizeof(float);

absl::Status Gone(const std::string& peer_name, int error) {
  return absl::UnavailableError(absl::StrCat(
      peer_name, " is gone: ",
      error == 0 ? "it closed the connection" : std::strerror(error)));
}

bool IsNotReady(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

TcpLink::TcpLink(UniqueFd socket, std::string peer_name)
    : socket_(std::move(socket)),
      peer_name_(std::move(peer_name)),
      staging_(new float[kStagingFloats]) {}

absl::StatusOr<size_t> TcpLink::TrySend(Outgoing& message) {
  MessageHeader header;
  header.kind = message.kind;
  header.bytes = message.bytes.size();

  iovec parts[2];
  size_t count = 0;
  size_t offset = 0;
  if (message.done < sizeof(header)) {
    parts[count++] = {reinterpret_cast<uint8_t*>(&header) + message.done,
                      sizeof(header) - message.done};
  } else {
    offset = message.done - sizeof(header);
  }
  const size_t n = std::min(message.bytes.size() - offset, kTurn);
  if (n > 0) {
    parts[count++] = {const_cast<uint8_t*>(message.bytes.data() + offset), n};
  }
  if (count == 0) return 0;
  msghdr call = {};
  call.msg_iov = parts;
  call.msg_iovlen = count;
  const ssize_t sent =
      sendmsg(socket_.get(), &call, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (IsNotReady(errno)) return 0;
    return Gone(peer_name_, errno);
  }
  message.done += sent;
  return sent;
}

absl::StatusOr<size_t> TcpLink::Read(void* to, size_t count) {
  const ssize_t n = recv(socket_.get(), to, count, MSG_DONTWAIT);
  if (n > 0) return n;
  if (n < 0 && IsNotReady(errno)) return 0;
  return Gone(peer_name_, n == 0 ? 0 : errno);
}

absl::StatusOr<size_t> TcpLink::ReceiveHeader(Incoming& message) {
  FACET_ASSIGN_OR_RETURN(
      const size_t n, Read(reinterpret_cast<uint8_t*>(&header_) + message.done,
                           sizeof(header_) - message.done));
  message.done += n;
  if (message.done == sizeof(header_)) {
    FACET_RETURN_IF_ERROR(
        CheckHeader(header_, message.kind, message.bytes.size(), peer_name_));
  }
  return n;
}

absl::StatusOr<size_t> TcpLink::ReceiveAndAdd(Incoming& message) {
  const size_t offset = message.done - sizeof(header_);
  const size_t carry = offset % sizeof(float);
  const size_t n = std::min(message.limit() - message.done,
                            kStagingFloats * sizeof(float) - carry);
  uint8_t* staging = reinterpret_cast<uint8_t*>(staging_.get());
  FACET_ASSIGN_OR_RETURN(const size_t got, Read(staging + carry, n));
  const size_t whole = (carry + got) / sizeof(float);
  float* to = reinterpret_cast<float*>(message.bytes.data() + offset - carry);
  AddFloats(to, staging_.get(), whole);
  std::memmove(staging, staging + whole * sizeof(float),
               carry + got - whole * sizeof(float));
  message.done += got;
  return got;
}

absl::StatusOr<size_t> TcpLink::TryReceive(Incoming& message) {
  size_t header = 0;
  if (message.done < sizeof(header_)) {
    FACET_ASSIGN_OR_RETURN(header, ReceiveHeader(message));
    if (message.done < sizeof(header_)) return header;
  }
  const size_t limit = message.limit();
  if (message.done >= limit) return header;
  if (message.add) {
    FACET_ASSIGN_OR_RETURN(const size_t n, ReceiveAndAdd(message));
    return header + n;
  }
  FACET_ASSIGN_OR_RETURN(
      const size_t n,
      Read(message.bytes.data() + message.done - sizeof(header_),
           std::min(limit - message.done, kTurn)));
  message.done += n;
  return header + n;
}

}  // namespace facet
