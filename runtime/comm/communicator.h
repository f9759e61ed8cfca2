// What ranks say to each other on the data plane. Implementations: in-process
// (one rank), host (shared memory on one machine, TCP across).
#ifndef FACET_RUNTIME_COMM_COMMUNICATOR_H_
#define FACET_RUNTIME_COMM_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/comm/comm_activity.h"

namespace facet {

// All ranks of a communicator make the same collective calls in the same order
// with the same sizes. One thread per rank calls; Abort() may come from any
// thread.
//
// Every wait has the deadline given at creation. Errors of every call:
//   DEADLINE_EXCEEDED  a peer did not arrive; the message names ranks
//   UNAVAILABLE        a peer is gone
//   INTERNAL           ranks do not make the same calls
//   the status given to Abort(), from then on
// After an error the communicator stays in error.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // values[i] becomes the sum over ranks, added along one binary tree
  // ((0 + 1) + (2 + 3)) + … whatever the message size or transport, so every
  // rank holds the same bits. REQUIRES: size() is a power of two.
  virtual absl::Status AllReduceSum(absl::Span<float> values) = 0;

  // `all` holds size() blocks of block.size() bytes, by rank.
  virtual absl::Status AllGather(absl::Span<const uint8_t> block,
                                 absl::Span<uint8_t> all) = 0;

  virtual absl::Status Broadcast(absl::Span<uint8_t> bytes, int root) = 0;

  // Point to point; sizes on both sides agree. Send may return before the peer
  // has received.
  virtual absl::Status Send(absl::Span<const uint8_t> bytes, int peer) = 0;
  virtual absl::Status Recv(absl::Span<uint8_t> bytes, int peer) = 0;

  // The communicator of `ranks` (ascending, this one among them), renumbered
  // from 0 in that order. All of `ranks` call it at the same point. It shares
  // the parent's connections: abort one, abort all; the parent outlives it.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> Split(
      const std::vector<int>& ranks) = 0;

  // Makes every waiting and later call on any thread return `status` at once,
  // unless an error came first. Peers are told: they get UNAVAILABLE with its
  // message. REQUIRES: !status.ok().
  virtual void Abort(const absl::Status& status) = 0;

  // Where the thread that calls stands. From any thread; never waits.
  virtual CommActivity activity() const { return CommActivity(); }
  // Its last calls and how far each came, at most `count`, oldest first. The
  // same from any thread.
  virtual std::string LastCalls(size_t /*count*/) const { return ""; }
};

// The world of one rank: every collective is the identity.
std::unique_ptr<Communicator> MakeInProcessCommunicator();

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_COMMUNICATOR_H_
