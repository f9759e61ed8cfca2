// What the host knows before a step, beside the device. Values lie in pinned
// memory until the step's copies have read them, so steps take turns on two
// halves. Equal values of one step are copied once: all layers of a kind ask
// for the same.
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

  // Forgets earlier values. The step before last is through: its results have
  // been read.
  void BeginStep();

  // Device memory that holds the values for operations asked for from here on.
  // Null when the room is used up or a copy fails; see status().
  const void* Place(const void* values, size_t bytes);
  template <typename T>
  const T* Place(const T* values, size_t count) {
    return static_cast<const T*>(
        Place(static_cast<const void*>(values), count * sizeof(T)));
  }

  // The first error since it was created.
  const absl::Status& status() const { return status_; }

 private:
  struct Entry {
    size_t offset;
    size_t bytes;
  };

  StepInputs(size_t bytes, Stream stream) : bytes_(bytes), stream_(stream) {}

  const size_t bytes_;  // of one half
  const Stream stream_;
  uint8_t* pinned_ = nullptr;
  DeviceMemory device_;
  int half_ = 0;
  size_t used_ = 0;
  std::vector<Entry> entries_;
  absl::Status status_;
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_STEP_INPUTS_H_
