#include "kernels/cuda/stream_marks.h"

#include "kernels/base/status_macros.h"

namespace facet {
namespace FACET_CUDA {

absl::StatusOr<std::unique_ptr<EventMarks>> EventMarks::Create(int device,
                                                               Stream stream,
                                                               int events) {
  std::unique_ptr<EventMarks> marks(new EventMarks(device, stream));
  marks->ring_.resize(events);
  for (Mark& mark : marks->ring_) {
    FACET_ASSIGN_OR_RETURN(mark.event, MakeEvent());
  }
  return marks;
}

EventMarks::~EventMarks() {
  for (const Mark& mark : ring_) {
    if (mark.event != nullptr) DestroyEvent(mark.event);
  }
}

absl::Status EventMarks::Set(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // A full ring moves its newest mark to the new place.
  if (end_ - begin_ < ring_.size()) ++end_;
  Mark& mark = at(end_ - 1);
  mark.number = number;
  return Record(mark.event, stream_);
}

absl::StatusOr<uint64_t> EventMarks::Passed() {
  // Of a thread that asks for nothing else, which would otherwise wake the
  // first device of the machine.
  SelectDevice(device_);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (; begin_ < end_; ++begin_) {
    FACET_ASSIGN_OR_RETURN(const bool passed, HasPassed(at(begin_).event));
    if (!passed) break;
    passed_ = at(begin_).number;
  }
  return passed_;
}

}  // namespace FACET_CUDA
}  // namespace facet
