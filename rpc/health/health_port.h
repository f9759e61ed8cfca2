// A gRPC health service (grpc.health.v1.Health) on a port of its own, for
// probes of Kubernetes and whoever else asks: without TLS or keys, whatever
// guards the other ports, and there before the model is. It tells three names:
//
//   "liveness"   SERVING while the process is of use. Loading weights, waiting
//                for workers and draining are; a loop that no longer calls
//                Beat() is not: a restart may help.
//   "readiness"  SERVING while requests are taken and answered.
//   ""           the same as "readiness".
//
// Other names are NOT_FOUND.
#ifndef FACET_RPC_HEALTH_HEALTH_PORT_H_
#define FACET_RPC_HEALTH_HEALTH_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace facet {

// Safe from several threads.
class HealthPort {
 public:
  // Listens on `address`, HOST:PORT with 0 for any free port. Alive and not
  // ready.
  //
  // Errors: those of CheckCanListen().
  static absl::StatusOr<std::unique_ptr<HealthPort>> Start(
      const std::string& address);
  virtual ~HealthPort() = default;

  virtual std::string address() const = 0;

  virtual void SetReady(bool ready) = 0;

  // From the first call on, the process is alive only while the next one comes
  // within `limit`. Called again after that, it is alive again.
  virtual void Beat(absl::Duration limit) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_HEALTH_HEALTH_PORT_H_
