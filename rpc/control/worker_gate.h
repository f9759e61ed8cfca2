// Where the streams of workers arrive: leads each to the world that is open,
// and lets those it has no place for wait as spares. A stream stays with the
// world it was led to, so whatever still comes from the workers of an earlier
// world reaches that world alone. Owns no thread, no socket and no clock.
#ifndef FACET_RPC_CONTROL_WORKER_GATE_H_
#define FACET_RPC_CONTROL_WORKER_GATE_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "rpc/control/membership.h"
#include "rpc/control/worker_link.h"

namespace facet {

struct WorkerGateOptions {
  int most_spares = 64;  // more are refused
  absl::Duration heartbeat_interval = absl::Seconds(1);
  // A spare not heard of for so long is let go.
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  std::function<absl::Time()> clock = [] { return absl::Now(); };
};

// Safe from several threads.
class WorkerGate : public WorkerEvents {
 public:
  explicit WorkerGate(WorkerGateOptions options)
      : options_(std::move(options)) {}

  // From now on workers are led to `world`.
  void Open(std::shared_ptr<Membership> world);

  // Leads spares to the open world, longest waiting first, as far as it has
  // places for them.
  void AdmitSpares();

  int spares() const;
  // What they said of themselves, longest waiting first.
  std::vector<WorkerRegistration> spare_registrations() const;

  // Asks the spares to leave; nobody is let in any more.
  void Close(const std::string& reason);

  // Heartbeats to spares, and an end to silent ones. Call it about every
  // quarter of heartbeat_interval.
  void Tick();

  // REQUIRES of all three: Open() was called. Errors of OnRegister: those of
  // Membership; a world that is complete or lost refuses nobody while there is
  // room for spares, then RESOURCE_EXHAUSTED.
  absl::StatusOr<int> OnRegister(WorkerRegistration registration,
                                 std::shared_ptr<WorkerLink> link) override;
  void OnMessage(int guest, WorkerMessage message) override;
  void OnGone(int guest, const absl::Status& status) override;

 private:
  struct Guest {
    std::shared_ptr<Membership> world;  // null: a spare
    int member = -1;                    // of `world`
    WorkerRegistration registration;    // of a spare, as is all below
    std::shared_ptr<WorkerLink> link;
    absl::Time heard;
    absl::Time spoken;
  };

  int CountSpares() const;

  const WorkerGateOptions options_;
  mutable std::mutex mutex_;  // taken before that of a world
  std::shared_ptr<Membership> open_;
  std::map<int, Guest> guests_;  // by the order of their coming
  int next_guest_ = 0;
  bool closed_ = false;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_WORKER_GATE_H_
