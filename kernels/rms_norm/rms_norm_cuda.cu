// A block per row walks the chain. Blocks behind those of the rows ask the
// weights of the next product into the cache: one row leaves all but one
// multiprocessor, and all of the memory, idle.
#include "kernels/cuda/operations.h"
#include "kernels/cuda/prefetch.h"
#include "kernels/rms_norm/rms_norm_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

__global__ void RmsNormsKernel(NormChain chain, unsigned rows,
                               WeightsAhead ahead) {
  if (FetchesAhead(ahead, rows)) return;
  NormRow(chain, blockIdx.x, SharedMemory<float>());
}

}  // namespace

void RmsNorms(absl::Span<const RmsNormArgs> norms, const WeightsAhead& ahead,
              KernelLine& line) {
  if (norms.empty()) return;
  const NormChain chain = ChainOf(norms);
  const unsigned rows = static_cast<unsigned>(norms[0].rows);
  Launch(RmsNormsKernel, dim3(rows + BlocksAhead(ahead, kNormThreads)),
         dim3(kNormThreads), chain.shared_bytes(), line, chain, rows, ahead);
}

}  // namespace FACET_CUDA
}  // namespace facet
