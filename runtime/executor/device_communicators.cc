#include "runtime/executor/device_communicators.h"

#include <algorithm>
#include <vector>

#include "kernels/base/status_macros.h"
#include "runtime/comm/nccl_communicator.h"
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

absl::StatusOr<DeviceCommunicators> ConnectDevices(Communicator* world,
                                                   Communicator* tp,
                                                   Device* device,
                                                   Backend* backend,
                                                   int64_t most_floats) {
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
  if (tp->size() > 1) {
    options.host = tp;
    FACET_ASSIGN_OR_RETURN(made.tp, MakeNcclCommunicator(options));
  }
  // Stages send and receive in the world of all ranks.
  if (world->size() > tp->size()) {
    options.host = world;
    FACET_ASSIGN_OR_RETURN(made.world, MakeNcclCommunicator(options));
  }
  return made;
}

}  // namespace facet
