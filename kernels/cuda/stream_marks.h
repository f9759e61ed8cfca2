// Marks in a stream, as events that are recorded behind operations.
#ifndef FACET_KERNELS_CUDA_STREAM_MARKS_H_
#define FACET_KERNELS_CUDA_STREAM_MARKS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "kernels/cuda/runtime.h"

namespace facet {
namespace FACET_CUDA {

class EventMarks : public StreamMarks {
 public:
  // `events`: how many marks are told apart. Where more are set than the
  // device has passed, the newest ones count as one.
  // `device` is the stream's.
  static absl::StatusOr<std::unique_ptr<EventMarks>> Create(int device,
                                                            Stream stream,
                                                            int events);
  ~EventMarks() override;

  absl::Status Set(uint64_t number) override;
  absl::StatusOr<uint64_t> Passed() override;

 private:
  struct Mark {
    Event event = nullptr;
    uint64_t number = 0;
  };

  EventMarks(int device, Stream stream) : device_(device), stream_(stream) {}
  Mark& at(uint64_t index) { return ring_[index % ring_.size()]; }

  const int device_;
  const Stream stream_;
  std::mutex mutex_;
  std::vector<Mark> ring_;
  uint64_t begin_ = 0, end_ = 0;  // marks set and not seen passed
  uint64_t passed_ = 0;
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_STREAM_MARKS_H_
