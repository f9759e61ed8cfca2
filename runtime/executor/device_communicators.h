// How the devices of ranks talk to each other.
#ifndef FACET_RUNTIME_EXECUTOR_DEVICE_COMMUNICATORS_H_
#define FACET_RUNTIME_EXECUTOR_DEVICE_COMMUNICATORS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
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

struct ConnectOptions {
  int64_t most_floats = 0;  // of one sum
  bool fast = false;        // NCCL may add in its own order
  std::string host_name;    // for people; empty: this machine's
  // Takes lines for people; null: stderr.
  std::function<void(const std::string&)> log;
};

// NCCL's where every rank of `world` has it, else messages through the host.
// Devices that could talk over NCCL and do not are slower by far, so the first
// rank says then which ranks lack it, where, and what to do. All arguments
// outlive what comes back, and all ranks of `world` call it.
absl::StatusOr<DeviceCommunicators> ConnectDevices(
    Communicator* world, Communicator* tp, Device* device, Backend* backend,
    const ConnectOptions& options);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_DEVICE_COMMUNICATORS_H_
