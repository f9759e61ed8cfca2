// RunWorker() with this build's own parts.

#include <utility>

#include "kernels/base/cpu.h"
#include "kernels/base/status_macros.h"
#include "rpc/worker/worker.h"

namespace facet {
namespace {

absl::StatusOr<CommPort> Listen(const std::string& host) {
  FACET_ASSIGN_OR_RETURN(std::shared_ptr<CommListener> listener,
                         CommListener::Create(host));
  CommPort port;
  port.endpoint = {LocalHostId(), listener->address()};
  port.connect = [listener](const HostCommOptions& options) {
    return MakeHostCommunicator(options, listener.get());
  };
  return port;
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& options) {
  WorkerParts parts;
  parts.isa = []() -> absl::StatusOr<std::string> {
    FACET_ASSIGN_OR_RETURN(const Isa isa, ActiveIsaStatus());
    return std::string(Name(isa));
  };
  parts.numerics_mode = [](const NumericsOptions& numerics) {
    return NumericsMode(numerics);
  };
  parts.listen = Listen;
  parts.load = &RankRunner::Load;
  return RunWorker(options, parts);
}

}  // namespace facet
