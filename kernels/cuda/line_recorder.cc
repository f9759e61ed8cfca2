#include "kernels/cuda/line_recorder.h"

#include "kernels/base/status_macros.h"

namespace facet {
namespace FACET_CUDA {

LineRecorder::~LineRecorder() {
  Forget();
  if (stream_ != nullptr) DestroyStream(stream_);
}

absl::StatusOr<int> LineRecorder::Record(
    const std::function<absl::Status(void* stream)>& ask) {
  // Of its own: what goes wrong in a recording does not hold up the line.
  if (stream_ == nullptr) {
    FACET_ASSIGN_OR_RETURN(stream_, MakeStream());
  }
  FACET_RETURN_IF_ERROR(BeginRecording(stream_));
  const absl::Status asked = ask(stream_);
  const absl::StatusOr<Message> message = EndRecording(stream_);
  if (!asked.ok()) {
    if (message.ok()) DestroyMessage(*message);
    return asked;
  }
  if (!message.ok()) return message.status();
  messages_.push_back(*message);
  return static_cast<int>(messages_.size()) - 1;
}

void LineRecorder::Run(int message) {
  before_();
  line_.Add(messages_[message]);
}

void LineRecorder::OnHandedOver(std::function<void()> listener) {
  line_.OnMessages(std::move(listener));
}

void LineRecorder::Forget() {
  line_.DropMessages();
  for (const Message message : messages_) DestroyMessage(message);
  messages_.clear();
}

}  // namespace FACET_CUDA
}  // namespace facet
