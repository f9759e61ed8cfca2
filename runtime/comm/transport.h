// Everything one rank needs to exchange messages with the world: a link to each
// peer, the control channel, and the waiting. Collectives on top of it say only
// which messages go where.
#ifndef FACET_RUNTIME_COMM_TRANSPORT_H_
#define FACET_RUNTIME_COMM_TRANSPORT_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kernels/base/spinner.h"
#include "runtime/comm/comm_activity.h"
#include "runtime/comm/control_channel.h"
#include "runtime/comm/doorbell.h"
#include "runtime/comm/flight_recorder.h"
#include "runtime/comm/link.h"
#include "runtime/comm/shm_region.h"
#include "runtime/comm/unique_fd.h"

namespace facet {

struct TransportParts {
  int rank = 0;
  std::vector<std::string> peer_names;       // by rank
  std::vector<std::unique_ptr<Link>> links;  // by rank; the own one is null
  std::unique_ptr<ControlChannel> control;
  std::unique_ptr<ShmRegion> region;  // null without peers on this machine
  Doorbell* doorbell = nullptr;       // the own one in `region`
  absl::Duration timeout;
};

// One thread exchanges; Abort() may come from any.
class Transport {
 public:
  // Errors:
  //   INTERNAL  the system has no event descriptors left
  static absl::StatusOr<std::shared_ptr<Transport>> Create(
      TransportParts parts);

  // Says goodbye to the peers.
  ~Transport();

  int rank() const { return parts_.rank; }

  // Moves all messages, in whatever order they advance; at most one in each
  // direction with each peer. The errors are those of Communicator.
  absl::Status Exchange(absl::Span<Outgoing> outgoing,
                        absl::Span<Incoming> incoming);

  // Runs `call` and lets onlookers know of it: a `what` of `bytes` with rank
  // `peer` of the world, or with several at -1. `what` points to a literal.
  template <typename Call>
  absl::Status Record(const char* what, size_t bytes, int peer, Call call) {
    const uint64_t number = recorder_.Ask(what, bytes, peer, absl::Now());
    const absl::Status status = call();
    if (!status.ok()) recorder_.Fail(number);
    recorder_.FinishUpTo(number);
    return status;
  }

  // See Communicator. From any thread.
  CommActivity activity() const;
  std::string LastCalls(size_t count) const { return recorder_.Last(count); }

  // The first status counts; the peers are told.
  void Abort(const absl::Status& status);

 private:
  explicit Transport(TransportParts parts);

  absl::Status TryExchange(absl::Span<Outgoing> outgoing,
                           absl::Span<Incoming> incoming);
  // One look at every link. True when something has moved.
  absl::StatusOr<bool> Advance(absl::Span<Outgoing> outgoing,
                               absl::Span<Incoming> incoming);
  // Sleeps until something may have happened.
  void SleepOnSockets(absl::Span<const Outgoing> outgoing,
                      absl::Span<const Incoming> incoming,
                      absl::Duration at_most);
  // UNAVAILABLE when a peer in shared memory left with a message unfinished.
  // (A connection says so itself, after its last bytes.)
  absl::Status CheckNobodyLeft(absl::Span<const Outgoing> outgoing,
                               absl::Span<const Incoming> incoming) const;
  absl::Status DidNotArrive(absl::Span<const Outgoing> outgoing,
                            absl::Span<const Incoming> incoming) const;
  // Tells onlookers whom the exchange waits for; -1: nobody.
  void NoteWait(int peer);
  absl::Status Fail(const absl::Status& status);
  absl::Status failure();

  TransportParts parts_;
  Spinner spinner_;  // of the thread that exchanges
  bool only_shm_ = true;
  FlightRecorder recorder_;
  // Of the exchange at hand; of long waits alone.
  std::atomic<int> waits_for_{-1};
  std::atomic<int64_t> waits_since_{0};  // absl::Time in nanoseconds
  std::atomic<uint64_t> late_moves_{0};  // bytes that came after a sleep
  UniqueFd wake_fd_;                     // becomes readable on Abort()
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  absl::Status failure_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_TRANSPORT_H_
