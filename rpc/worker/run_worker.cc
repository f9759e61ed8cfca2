// RunWorker() with this build's own parts.

#include <utility>

#include "kernels/base/cpu.h"
#include "kernels/base/status_macros.h"
#include "rpc/worker/worker.h"
#include "runtime/executor/rank_device.h"

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
  FACET_ASSIGN_OR_RETURN(const OpenRankDevice open_device,
                         ParseDevice(options.device, 0));
  const bool on_device = open_device != nullptr;
  if (on_device) parts.device = "cuda";
  parts.numerics_mode = [on_device](const NumericsOptions& numerics) {
    return NumericsMode(numerics, on_device);
  };
  parts.listen = Listen;
  parts.load = [open_device](const RankOptions& options,
                             std::unique_ptr<Communicator> world,
                             const LoadProgress& progress,
                             std::unique_ptr<RankRunner> before) {
    RankOptions placed = options;
    placed.open_device = open_device;
    return RankRunner::Load(placed, std::move(world), progress,
                            std::move(before));
  };
  return RunWorker(options, parts);
}

}  // namespace facet
