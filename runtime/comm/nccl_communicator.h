// The messages of devices through NCCL. Sums are not NCCL's: blocks travel, and
// every rank adds them along the contract's tree, so that the bits are those of
// every other communicator.
#ifndef FACET_RUNTIME_COMM_NCCL_COMMUNICATOR_H_
#define FACET_RUNTIME_COMM_NCCL_COMMUNICATOR_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/backend/device.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/nccl_api.h"

namespace facet {

struct NcclOptions {
  const NcclApi* api = nullptr;
  // The same ranks on the host: hands round the unique id.
  Communicator* host = nullptr;
  Device* device = nullptr;
  Backend* backend = nullptr;
  // Floats of the largest AllReduceSum().
  int64_t most_floats = 0;
  // For all ranks to arrive.
  absl::Duration timeout = absl::Minutes(2);
};

// All arguments outlive it. Calls join the backend's stream and return before
// they are done: a lost peer is found by Backend::Read(), which waits until
// Abort(). All ranks of `host` call it.
//
// Errors:
//   FAILED_PRECONDITION  ranks have different versions of NCCL; all are named
//   DEADLINE_EXCEEDED    not all ranks arrived in time
//   INTERNAL             NCCL's own, in its words
absl::StatusOr<std::unique_ptr<Communicator>> MakeNcclCommunicator(
    const NcclOptions& options);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_NCCL_COMMUNICATOR_H_
