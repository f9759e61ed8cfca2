// The gRPC server workers join at. Turns each Join stream into a WorkerLink and
// reports what it says to a WorkerEvents.
#ifndef FACET_RPC_CONTROL_CONTROL_SERVER_H_
#define FACET_RPC_CONTROL_CONTROL_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/control/trust.h"
#include "rpc/control/worker_link.h"

namespace facet {

class ControlServer {
 public:
  // Listens on `address` (HOST:PORT, port 0 for a free one; "unix:PATH").
  // `events` outlives the server.
  //
  // Errors: INVALID_ARGUMENT for an address that is none, UNAVAILABLE for one
  // that cannot be listened on, e.g. because its port is in use; those of
  // CoordinatorCredentials().
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(
      const std::string& address, WorkerEvents* events,
      const TrustFiles& trust = {});
  virtual ~ControlServer() = default;

  // With the port that was chosen.
  virtual const std::string& address() const = 0;

  // Ends all streams, cancelling those still there after `grace`; no call to
  // `events` comes after it returns.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_CONTROL_SERVER_H_
