// Messages over a pair of rings. Floats to be added are read straight from the
// ring, so a message is copied once: into the ring.
#ifndef FACET_RUNTIME_COMM_SHM_LINK_H_
#define FACET_RUNTIME_COMM_SHM_LINK_H_

#include <string>
#include <utility>

#include "runtime/comm/doorbell.h"
#include "runtime/comm/link.h"
#include "runtime/comm/shm_ring.h"

namespace facet {

// Every message starts on a multiple of this in its ring.
inline constexpr size_t kRingAlignment = 16;

class ShmLink : public Link {
 public:
  // `peer_bell` wakes the peer. Ring capacities are multiples of
  // kRingAlignment.
  ShmLink(RingWriter out, RingReader in, Doorbell* peer_bell,
          std::string peer_name)
      : out_(out),
        in_(in),
        peer_bell_(peer_bell),
        peer_name_(std::move(peer_name)) {}

  absl::StatusOr<size_t> TrySend(Outgoing& message) override;
  absl::StatusOr<size_t> TryReceive(Incoming& message) override;
  int fd() const override { return -1; }

 private:
  absl::Status Corrupt() const;

  RingWriter out_;
  RingReader in_;
  Doorbell* peer_bell_;
  std::string peer_name_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_SHM_LINK_H_
