#include "kernels/cuda/step_inputs.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace FACET_CUDA {

absl::StatusOr<std::unique_ptr<StepInputs>> StepInputs::Create(Device* device,
                                                               size_t bytes,
                                                               Stream stream) {
  std::unique_ptr<StepInputs> inputs(new StepInputs(bytes, stream));
  FACET_ASSIGN_OR_RETURN(void* pinned, AllocatePinned(2 * bytes));
  inputs->pinned_ = static_cast<uint8_t*>(pinned);
  FACET_ASSIGN_OR_RETURN(
      inputs->device_,
      DeviceMemory::Allocate(device, 2 * bytes, "inputs of steps"));
  return inputs;
}

StepInputs::~StepInputs() {
  if (pinned_ != nullptr) FreePinned(pinned_);
}

void StepInputs::BeginStep() {
  half_ = 1 - half_;
  used_ = 0;
  entries_.clear();
}

const void* StepInputs::Place(const void* values, size_t bytes) {
  uint8_t* host = pinned_ + half_ * bytes_;
  uint8_t* device = static_cast<uint8_t*>(device_.data()) + half_ * bytes_;
  for (const Entry& entry : entries_) {
    if (entry.bytes == bytes &&
        std::memcmp(host + entry.offset, values, bytes) == 0) {
      return device + entry.offset;
    }
  }
  if (!status_.ok()) return nullptr;
  if (used_ + bytes > bytes_) {
    status_ =
        absl::InternalError(absl::StrCat("inputs of a step: ", used_ + bytes,
                                         " bytes, expected at most ", bytes_));
    return nullptr;
  }
  const size_t offset = used_;
  std::memcpy(host + offset, values, bytes);
  status_ = CopyToDevice(host + offset, bytes, device + offset, stream_);
  if (!status_.ok()) return nullptr;
  used_ += (bytes + 255) / 256 * 256;
  entries_.push_back({offset, bytes});
  return device + offset;
}

}  // namespace FACET_CUDA
}  // namespace facet
