// Rows of the host's memory on their way to a device through two pinned halves:
// while one is copied, the other is filled.
#ifndef FACET_KERNELS_CUDA_STAGED_UPLOAD_H_
#define FACET_KERNELS_CUDA_STAGED_UPLOAD_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cuda/runtime.h"

namespace facet {
namespace FACET_CUDA {

class StagedUpload {
 public:
  static absl::StatusOr<std::unique_ptr<StagedUpload>> Create(
      size_t half_bytes);
  ~StagedUpload();

  // As Device::Upload().
  absl::Status Run(const void* from, int64_t rows, size_t row_bytes,
                   size_t stride, void* to);

 private:
  explicit StagedUpload(size_t half_bytes) : half_bytes_(half_bytes) {}

  const size_t half_bytes_;
  uint8_t* halves_ = nullptr;
  // A stream per half: waiting for one leaves the other's copy alone.
  Stream streams_[2] = {};
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_STAGED_UPLOAD_H_
