// The messages of devices through NCCL. Sums are not NCCL's, unless the user
// prefers speed: blocks travel, and every rank adds them along the contract's
// tree, so that the bits are those of every other communicator.
#ifndef FACET_RUNTIME_COMM_NCCL_COMMUNICATOR_H_
#define FACET_RUNTIME_COMM_NCCL_COMMUNICATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/backend/device.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/nccl_api.h"

namespace facet {

struct NcclOptions {
  const NcclApi* api = nullptr;
  // The same ranks on the host: hands round the unique id, and tells peers of
  // failures.
  Communicator* host = nullptr;
  Device* device = nullptr;
  Backend* backend = nullptr;
  // Floats of the largest AllReduceSum().
  int64_t most_floats = 0;
  // NCCL adds, in an order of its own that goes by the number of ranks and the
  // size (--numerics=fast). All ranks still get the same bits.
  bool nccl_sums = false;
  // Sums of decoding become part of the backend's graphs, where all ranks find
  // that this works. At most one communicator of a device does: NCCL warns of graphs
  // of several.
  bool in_graphs = false;
  // For what is tried to find that out. Outlives a device that hangs in it.
  absl::Duration trial_timeout = absl::Seconds(20);
  // Set where graphs with messages have failed or hung; where it is set on one
  // rank they are not tried on any. Shared by the communicators that follow
  // each other in a process; may be null.
  std::atomic<bool>* graphs_failed = nullptr;
  // For all ranks to arrive.
  absl::Duration connect_timeout = absl::Minutes(2);
  // For a device that has calls to finish and finishes none: of one call with
  // all that stands in line before it.
  absl::Duration timeout = absl::Minutes(1);
  // How this rank's machine is named in errors; empty: its host name.
  std::string host_name;
  // Takes the last calls in full when one hangs or fails; null: stderr.
  std::function<void(const std::string&)> dump;
  // Takes a line for people, of rank 0; null: stderr.
  std::function<void(const std::string&)> log;
};

class NcclCommunicator : public Communicator {
 public:
  // The first error, of a call or of what the device made of it. A device that
  // is let go of a hung call goes on with the next operation: what Read()
  // brings counts only if this is OK afterwards.
  virtual absl::Status status() const = 0;
  // Whether messages can be part of graphs, on every rank.
  virtual bool in_graphs() const = 0;
};

// All arguments outlive it. Calls join the backend's stream and return before
// they are done. A thread of its own watches the device: when NCCL reports an
// error, or `timeout` passes in which nothing moves, it aborts the calls, so
// that the stream goes on, and the communicator stays in error. Abort() leaves
// that to the thread and returns at once: NCCL ends a communicator only when
// all graphs with its messages are gone, and those go with the communicator.
// All ranks of `host` call it.
//
// Errors, naming ranks and their machines:
//   FAILED_PRECONDITION  ranks have different versions of NCCL; all are named
//   DEADLINE_EXCEEDED    not all ranks arrived in time
//   INTERNAL             NCCL's own, in its words
absl::StatusOr<std::unique_ptr<NcclCommunicator>> MakeNcclCommunicator(
    const NcclOptions& options);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_NCCL_COMMUNICATOR_H_
