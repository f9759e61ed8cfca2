// Messages over one authenticated TCP connection.
#ifndef FACET_RUNTIME_COMM_TCP_LINK_H_
#define FACET_RUNTIME_COMM_TCP_LINK_H_

#include <memory>
#include <string>
#include <utility>

#include "runtime/comm/link.h"
#include "runtime/comm/unique_fd.h"

namespace facet {

class TcpLink : public Link {
 public:
  // `socket` is connected and non-blocking.
  TcpLink(UniqueFd socket, std::string peer_name);

  absl::StatusOr<size_t> TrySend(Outgoing& message) override;
  absl::StatusOr<size_t> TryReceive(Incoming& message) override;
  int fd() const override { return socket_.get(); }

 private:
  // Of the next bytes of `message` to arrive: all of its header first.
  absl::StatusOr<size_t> ReceiveHeader(Incoming& message);
  absl::StatusOr<size_t> ReceiveAndAdd(Incoming& message);
  absl::StatusOr<size_t> Read(void* to, size_t count);

  UniqueFd socket_;
  std::string peer_name_;
  MessageHeader header_;  // of the message now arriving
  // Where floats wait to be added; starts with the bytes of an incomplete one.
  std::unique_ptr<float[]> staging_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_TCP_LINK_H_
