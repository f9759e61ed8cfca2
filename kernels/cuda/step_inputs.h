// What the host knows before a step, beside the device. Values are gathered in
// pinned memory and travel together, before the kernels that read them. The
// pinned memory of a step is its own until the device is past the step, so
// steps take turns on two halves; the device's is one, for its copies and
// kernels run in order. Equal values of one step are there once: all layers of
// a kind ask for the same.
#ifndef FACET_KERNELS_CUDA_STEP_INPUTS_H_
#define FACET_KERNELS_CUDA_STEP_INPUTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "kernels/cuda/runtime.h"

namespace facet {
namespace FACET_CUDA {

class StepInputs {
 public:
  // Room for `bytes` of values in every step.
  static absl::StatusOr<std::unique_ptr<StepInputs>> Create(Device* device,
                                                            size_t bytes,
                                                            Stream stream);
  ~StepInputs();

  // Forgets earlier values. Waits until the device is past the step before
  // last, if it is not yet. All kernels of the last step have been asked for.
  void BeginStep();

  // Device memory that holds the values for operations that follow the next
  // Send(). Null when the room is used up; see status().
  const void* Place(const void* values, size_t bytes);
  template <typename T>
  const T* Place(const T* values, size_t count) {
    return static_cast<const T*>(
        Place(static_cast<const void*>(values), count * sizeof(T)));
  }

  // Asks for the copy of what was placed since the last one.
  absl::Status Send();

  // The first error since it was created.
  const absl::Status& status() const { return status_; }

 private:
  struct Entry {
    size_t offset;
    size_t bytes;
  };

  StepInputs(size_t bytes, Stream stream) : bytes_(bytes), stream_(stream) {}

  uint8_t* pinned() const { return pinned_ + half_ * bytes_; }
  uint8_t* device() const { return static_cast<uint8_t*>(device_.data()); }

  const size_t bytes_;  // of one step
  const Stream stream_;
  uint8_t* pinned_ = nullptr;
  Event end_of_step_[2] = {};  // by half
  DeviceMemory device_;
  int half_ = 0;
  size_t used_ = 0;
  size_t sent_ = 0;
  std::vector<Entry> entries_;
  absl::Status status_;
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_STEP_INPUTS_H_
