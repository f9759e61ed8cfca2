// A warp per token; nothing leaves the device.
#include "kernels/cuda/operations.h"
#include "kernels/router/router_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

__global__ void RouterKernel(RouterArgs args) {
  RouteToken(args, blockIdx.x, SharedMemory<unsigned char>());
}

}  // namespace

void Router(const RouterArgs& args, KernelLine& line) {
  Launch(RouterKernel, dim3(static_cast<unsigned>(args.tokens)), dim3(32),
         RouterBytes(args), line, args);
}

}  // namespace FACET_CUDA
}  // namespace facet
