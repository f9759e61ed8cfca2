#include "kernels/cuda/open_device.h"

#include "kernels/cuda/cuda_backend.h"

namespace facet {

bool CudaIsBuiltIn() { return true; }

absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int index) {
  return FACET_CUDA::OpenDevice(index);
}

}  // namespace facet
