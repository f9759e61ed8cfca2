// The seam between the collectives and the two ways to a peer: shared memory
// and TCP. A Link moves what it can without waiting; Transport decides how to
// wait.
#ifndef FACET_RUNTIME_COMM_LINK_H_
#define FACET_RUNTIME_COMM_LINK_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet {

// What a message is part of; ranks that disagree find out from it.
enum class MessageKind : uint32_t {
  kAllReduce = 1,
  kAllGather = 2,
  kBroadcast = 3,
  kPointToPoint = 4,
};

const char* MessageKindName(MessageKind kind);

// Stands before the bytes of every message, on every link.
struct MessageHeader {
  static constexpr uint32_t kMagic = 0x54434146;  // "FACT"

  uint32_t magic = kMagic;
  MessageKind kind = MessageKind::kPointToPoint;
  uint64_t bytes = 0;
};
static_assert(sizeof(MessageHeader) == 16);

// INTERNAL when `found` is not the header of `bytes` bytes of `kind`: the ranks
// do not make the same calls.
absl::Status CheckHeader(const MessageHeader& found, MessageKind kind,
                         size_t bytes, const std::string& peer_name);

// A message on its way to a peer.
struct Outgoing {
  int peer = 0;  // world rank
  MessageKind kind = MessageKind::kPointToPoint;
  absl::Span<const uint8_t> bytes;
  size_t done = 0;  // of header and bytes together

  size_t total() const { return sizeof(MessageHeader) + bytes.size(); }
  bool complete() const { return done == total(); }
};

// A message expected from a peer.
struct Incoming {
  int peer = 0;  // world rank
  MessageKind kind = MessageKind::kPointToPoint;
  absl::Span<uint8_t> bytes;
  // Adds arriving floats to those in `bytes` instead of replacing them.
  bool add = false;
  // When set, `bytes` is also the source of that message: nothing is changed
  // here before it has left.
  const Outgoing* behind = nullptr;
  size_t done = 0;

  size_t total() const { return sizeof(MessageHeader) + bytes.size(); }
  bool complete() const { return done == total(); }
  // How far `done` may go now.
  size_t limit() const {
    if (behind == nullptr || behind->complete()) return total();
    return std::max(sizeof(MessageHeader), behind->done & ~size_t{15});
  }
};

// Not thread-safe: one thread moves bytes.
class Link {
 public:
  virtual ~Link() = default;

  // Move some bytes of `message` without waiting, advance its `done` and return
  // by how much; 0 when the peer must act first.
  //
  // Errors:
  //   UNAVAILABLE  the peer is gone
  //   INTERNAL     what the peer sent is not the message expected
  virtual absl::StatusOr<size_t> TrySend(Outgoing& message) = 0;
  virtual absl::StatusOr<size_t> TryReceive(Incoming& message) = 0;

  // The socket to poll, or -1 when a Doorbell rings instead.
  virtual int fd() const = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_LINK_H_
