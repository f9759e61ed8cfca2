#include "runtime/comm/shm_link.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/add_floats.h"

namespace facet {
namespace {

// Handed to the peer at a time, so that it reads while we write on. Pieces of
// 4 to 32 KiB are within 10 % of each other.
constexpr size_t kPiece = 16 << 10;

// Moved by one call, so that sending and adding take turns on bytes that are
// still in the cache.
constexpr size_t kTurn = 64 << 10;

constexpr size_t RoundUp(size_t bytes) {
  return (bytes + kRingAlignment - 1) / kRingAlignment * kRingAlignment;
}

}  // namespace

absl::Status ShmLink::Corrupt() const {
  return absl::InternalError(absl::StrCat(
      peer_name_, " wrote an impossible counter to shared memory"));
}

absl::StatusOr<size_t> ShmLink::TrySend(Outgoing& message) {
  const size_t before = message.done;
  while (!message.complete() && message.done - before < kTurn) {
    const size_t left = std::min(message.total() - message.done, kPiece);
    const absl::Span<uint8_t> free = out_.Free(RoundUp(left));
    size_t n = std::min(left, free.size());
    if (n == 0) break;
    uint8_t* to = free.data();
    size_t header = 0;
    if (message.done == 0) {
      MessageHeader value;
      value.kind = message.kind;
      value.bytes = message.bytes.size();
      header = sizeof(value);
      std::memcpy(to, &value, header);
    }
    if (n > header) {
      std::memcpy(
          to + header,
          message.bytes.data() + message.done + header - sizeof(MessageHeader),
          n - header);
    }
    message.done += n;
    out_.Publish(RoundUp(n));
    peer_bell_->RingIfAsleep();
  }
  if (out_.corrupt()) return Corrupt();
  return message.done - before;
}

absl::StatusOr<size_t> ShmLink::TryReceive(Incoming& message) {
  const size_t before = message.done;
  while (message.done < message.limit() && message.done - before < kTurn) {
    const absl::Span<const uint8_t> ready = in_.Available();
    const size_t n = std::min(ready.size(), message.limit() - message.done);
    if (n == 0) break;
    size_t header = 0;
    if (message.done == 0) {
      MessageHeader found;
      header = sizeof(found);
      std::memcpy(&found, ready.data(), header);
      FACET_RETURN_IF_ERROR(
          CheckHeader(found, message.kind, message.bytes.size(), peer_name_));
    }
    if (n > header) {
      uint8_t* to =
          message.bytes.data() + message.done + header - sizeof(MessageHeader);
      const uint8_t* from = ready.data() + header;
      if (message.add) {
        AddFloats(reinterpret_cast<float*>(to),
                  reinterpret_cast<const float*>(from),
                  (n - header) / sizeof(float));
      } else {
        std::memcpy(to, from, n - header);
      }
    }
    message.done += n;
    in_.Release(RoundUp(n));
    peer_bell_->RingIfAsleep();
  }
  if (in_.corrupt()) return Corrupt();
  return message.done - before;
}

}  // namespace facet
