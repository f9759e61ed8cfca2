// The gRPC server clients talk to: the Inference service, the standard health
// service and reflection, on one port.
#ifndef FACET_RPC_COORDINATOR_INFERENCE_SERVER_H_
#define FACET_RPC_COORDINATOR_INFERENCE_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/access/tls_files.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/inference_service.h"

namespace facet {

class InferenceServer {
 public:
  // Listens on `address` (HOST:PORT, port 0 for a free one) and serves at once.
  // `front_door` outlives the server. Certificates are read again where they
  // have changed.
  //
  // Errors: INVALID_ARGUMENT for an address that is none, UNAVAILABLE for one
  // that cannot be listened on, e.g. because its port is in use; those of
  // ReadFiles() for certificates that are not there.
  static absl::StatusOr<std::unique_ptr<InferenceServer>> Start(
      const std::string& address, const FrontDoor* front_door,
      const InferenceServiceOptions& options, const TlsFiles& tls = TlsFiles());
  virtual ~InferenceServer() = default;

  // With the port that was chosen.
  virtual const std::string& address() const = 0;

  // What health checks are told for "" and "facet.v1.Inference"; true from the
  // start.
  virtual void SetServing(bool serving) = 0;

  // Takes no more calls and cancels those there after `grace`. Drain the
  // engine first: streams end with their requests.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_INFERENCE_SERVER_H_
