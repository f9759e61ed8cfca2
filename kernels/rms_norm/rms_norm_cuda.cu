// A block per row walks the chain.
#include "kernels/cuda/operations.h"
#include "kernels/rms_norm/rms_norm_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

__global__ void RmsNormsKernel(NormChain chain) {
  NormRow(chain, blockIdx.x, SharedMemory<float>());
}

}  // namespace

void RmsNorms(absl::Span<const RmsNormArgs> norms, KernelLine& line) {
  if (norms.empty()) return;
  const NormChain chain = ChainOf(norms);
  Launch(RmsNormsKernel, dim3(static_cast<unsigned>(norms[0].rows)),
         dim3(kNormThreads), chain.shared_bytes(), line, chain);
}

}  // namespace FACET_CUDA
}  // namespace facet
