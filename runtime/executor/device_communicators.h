// How the devices of ranks talk to each other.
#ifndef FACET_RUNTIME_EXECUTOR_DEVICE_COMMUNICATORS_H_
#define FACET_RUNTIME_EXECUTOR_DEVICE_COMMUNICATORS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/nccl_communicator.h"

namespace facet {

// Of memory of the backend's device.
struct DeviceCommunicators {
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> tp;
  // Those of them that are NCCL's.
  std::vector<const NcclCommunicator*> nccl;

  // What has gone wrong on a device so far; what was read from it before counts
  // only if this is OK.
  absl::Status status() const;
};

// NCCL's where every rank of `world` has it, else messages through the host.
// `most_floats`: of one sum; `fast`: NCCL may add in its own order. All
// arguments outlive what comes back, and all ranks of `world` call it.
absl::StatusOr<DeviceCommunicators> ConnectDevices(
    Communicator* world, Communicator* tp, Device* device, Backend* backend,
    int64_t most_floats, bool fast);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_DEVICE_COMMUNICATORS_H_
