// The coordinator's end of one worker's stream, without the transport: the gRPC
// server implements it, tests fake it.
#ifndef FACET_RPC_CONTROL_WORKER_LINK_H_
#define FACET_RPC_CONTROL_WORKER_LINK_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/convert/control_messages.h"

namespace facet {

// Any thread may call; no call waits for the network.
class WorkerLink {
 public:
  virtual ~WorkerLink() = default;

  // Queues one message behind those before it; dropped once the stream is over.
  virtual void Send(const CoordinatorMessage& message) = 0;

  // Ends the stream with `status` after what is queued.
  virtual void Close(const absl::Status& status) = 0;

  // Ends the stream at once.
  virtual void Cancel() = 0;
};

// What streams report. Calls about one stream come one after the other, calls
// about different streams from different threads.
class WorkerEvents {
 public:
  virtual ~WorkerEvents() = default;

  // A worker asks to join over `link`. Its member id for the calls below, or
  // the error it is refused with.
  virtual absl::StatusOr<int> OnRegister(WorkerRegistration registration,
                                         std::shared_ptr<WorkerLink> link) = 0;

  virtual void OnMessage(int member, WorkerMessage message) = 0;

  // The stream is over: the last call about it.
  virtual void OnGone(int member, const absl::Status& status) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_WORKER_LINK_H_
