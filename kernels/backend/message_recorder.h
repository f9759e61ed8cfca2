// Messages that a library sends between devices, kept to be run again as
// operations of a backend's line. A library's call joins the line from outside
// and ends whatever graph stands before it; a message that was kept goes into
// the graph.
#ifndef FACET_KERNELS_BACKEND_MESSAGE_RECORDER_H_
#define FACET_KERNELS_BACKEND_MESSAGE_RECORDER_H_

#include <functional>

#include "absl/status/statusor.h"

namespace facet {

// One thread calls.
class MessageRecorder {
 public:
  virtual ~MessageRecorder() = default;

  // Whether messages can be part of graphs, as far as is known yet.
  virtual bool ready() const = 0;

  // Keeps what `ask` asks of the stream it is given, and runs nothing. `ask`
  // returns once all is asked for, by whatever thread. Returns the message's
  // number.
  //
  // Errors: those of `ask`; INTERNAL, in the words of the device's runtime.
  virtual absl::StatusOr<int> Record(
      const std::function<absl::Status(void* stream)>& ask) = 0;

  // `message` comes behind all that was asked for, in a graph or not.
  virtual void Run(int message) = 0;

  // `listener` is called after messages were handed over to the device, by the
  // thread that asks for operations; null: nobody is.
  virtual void OnHandedOver(std::function<void()> listener) = 0;

  // Lets go of all messages and of the graphs they are in, without waiting for
  // the device: a library that is to end waits for that. Those that were asked
  // for and not handed over never run.
  virtual void Forget() = 0;
};

}  // namespace facet

#endif  // FACET_KERNELS_BACKEND_MESSAGE_RECORDER_H_
