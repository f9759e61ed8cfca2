#include "runtime/executor/device_communicators.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/base/status_macros.h"
#include "runtime/comm/staged_communicator.h"

namespace facet {
namespace {

// Whether all ranks of `world` said yes.
absl::StatusOr<bool> AllAgree(Communicator& world, bool yes) {
  const uint8_t own = yes ? 1 : 0;
  std::vector<uint8_t> all(world.size());
  FACET_RETURN_IF_ERROR(
      world.AllGather(absl::MakeConstSpan(&own, 1), absl::MakeSpan(all)));
  return std::find(all.begin(), all.end(), 0) == all.end();
}

}  // namespace

absl::StatusOr<DeviceCommunicators> ConnectDevices(
    Communicator* world, Communicator* tp, Device* device, Backend* backend,
    int64_t most_floats, bool fast) {
  DeviceCommunicators made;
  made.world = MakeStagedCommunicator(world, backend);
  made.tp = MakeStagedCommunicator(tp, backend);
  if (world->size() == 1) return made;
  NcclOptions options;
  if (device->speaks_nccl()) {
    const absl::StatusOr<const NcclApi*> api = LoadNccl();
    if (api.ok()) options.api = *api;
  }
  FACET_ASSIGN_OR_RETURN(const bool nccl,
                         AllAgree(*world, options.api != nullptr));
  if (!nccl) return made;
  options.device = device;
  options.backend = backend;
  options.most_floats = most_floats;
  options.nccl_sums = fast;
  const auto connect = [&](Communicator* host,
                           std::unique_ptr<Communicator>* to) -> absl::Status {
    options.host = host;
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<NcclCommunicator> communicator,
                           MakeNcclCommunicator(options));
    made.nccl.push_back(communicator.get());
    *to = std::move(communicator);
    return absl::OkStatus();
  };
  if (tp->size() > 1) FACET_RETURN_IF_ERROR(connect(tp, &made.tp));
  // Stages send and receive in the world of all ranks.
  if (world->size() > tp->size()) {
    FACET_RETURN_IF_ERROR(connect(world, &made.world));
  }
  return made;
}

absl::Status DeviceCommunicators::status() const {
  for (const NcclCommunicator* communicator : nccl) {
    FACET_RETURN_IF_ERROR(communicator->status());
  }
  return absl::OkStatus();
}

}  // namespace facet
