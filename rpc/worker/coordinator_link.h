// The worker's end of its stream to the coordinator, without the transport.
#ifndef FACET_RPC_WORKER_COORDINATOR_LINK_H_
#define FACET_RPC_WORKER_COORDINATOR_LINK_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/control/trust.h"
#include "rpc/convert/control_messages.h"

namespace facet {

class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;

  // False once the stream is broken. Any thread; may wait for the network.
  virtual bool Send(const WorkerMessage& message) = 0;

  // Waits for the next message. One thread.
  //
  // Errors: why the stream is over; UNAVAILABLE when the coordinator ended it
  // without a reason; INVALID_ARGUMENT for a message that is none.
  virtual absl::StatusOr<CoordinatorMessage> Read() = 0;

  // Says that nothing more will be sent. Any thread.
  virtual void FinishSending() = 0;

  // Ends the stream at once: Read() and Send() return. Any thread.
  virtual void Cancel() = 0;
};

// Opens a stream to the coordinator at `address` (HOST:PORT, "unix:PATH"),
// trying again until `deadline`. `give_up`, asked about twice a second, ends it
// early.
//
// Errors: DEADLINE_EXCEEDED "cannot reach coordinator at ADDRESS"; CANCELLED
// after give_up; those of WorkerCredentials().
absl::StatusOr<std::unique_ptr<CoordinatorLink>> ConnectToCoordinator(
    const std::string& address, const TrustFiles& trust, absl::Time deadline,
    const std::function<bool()>& give_up);

}  // namespace facet

#endif  // FACET_RPC_WORKER_COORDINATOR_LINK_H_
