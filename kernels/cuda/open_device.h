// The GPUs of this machine, as far as this build knows of any.
#ifndef FACET_KERNELS_CUDA_OPEN_DEVICE_H_
#define FACET_KERNELS_CUDA_OPEN_DEVICE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"

namespace facet {

// Whether this binary was built with --config=cuda.
bool CudaIsBuiltIn();

// Errors:
//   UNIMPLEMENTED        built without CUDA
//   FAILED_PRECONDITION  no driver, one too old, or no kernels for the device
//   NOT_FOUND            no device, or none of that index
absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int index);

}  // namespace facet

#endif  // FACET_KERNELS_CUDA_OPEN_DEVICE_H_
