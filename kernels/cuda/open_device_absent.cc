// The open_device of a build without CUDA.
#include "kernels/cuda/open_device.h"

namespace facet {

bool CudaIsBuiltIn() { return false; }

absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int) {
  return absl::UnimplementedError(
      "this build of facet runs on cpu only; build it with "
      "bazel build --config=cuda //:facet");
}

}  // namespace facet
