// The operations of a model on a GPU, or on the emulation of one.
#ifndef FACET_KERNELS_CUDA_CUDA_BACKEND_H_
#define FACET_KERNELS_CUDA_CUDA_BACKEND_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "kernels/cuda/launch_line.h"

namespace facet {
namespace FACET_CUDA {

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(int index);

// How the kernels of a backend that MakeBackend() made were run so far.
LaunchCounts CountsOf(const Backend& backend);
// How many products it left to the vendor's library so far.
int64_t LibraryProductsOf(const Backend& backend);

size_t CudaBackendBytes(const BackendLimits& limits);
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(
    Device* device, int index, const BackendLimits& limits);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_CUDA_BACKEND_H_
