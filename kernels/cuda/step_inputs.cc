#include "kernels/cuda/step_inputs.h"

#include <algorithm>
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
  for (Event& event : inputs->end_of_step_) {
    FACET_ASSIGN_OR_RETURN(event, MakeEvent());
  }
  FACET_ASSIGN_OR_RETURN(
      inputs->device_,
      DeviceMemory::Allocate(device, bytes, "inputs of steps"));
  return inputs;
}

StepInputs::~StepInputs() {
  for (const Event event : end_of_step_) {
    if (event != nullptr) DestroyEvent(event);
  }
  if (pinned_ != nullptr) FreePinned(pinned_);
}

void StepInputs::BeginStep() {
  if (status_.ok()) status_ = Record(end_of_step_[half_], stream_);
  half_ = 1 - half_;
  if (status_.ok()) status_ = WaitFor(end_of_step_[half_]);
  used_ = sent_ = 0;
  entries_.clear();
}

const void* StepInputs::Place(const void* values, size_t bytes) {
  for (const Entry& entry : entries_) {
    if (entry.bytes == bytes &&
        std::memcmp(pinned() + entry.offset, values, bytes) == 0) {
      return device() + entry.offset;
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
  std::memcpy(pinned() + offset, values, bytes);
  used_ += (bytes + 255) / 256 * 256;
  entries_.push_back({offset, bytes});
  return device() + offset;
}

absl::Status StepInputs::Send() {
  if (status_.ok() && used_ > sent_) {
    status_ = CopyToDevice(pinned() + sent_, std::min(used_, bytes_) - sent_,
                           device() + sent_, stream_);
    sent_ = used_;
  }
  return status_;
}

}  // namespace FACET_CUDA
}  // namespace facet
