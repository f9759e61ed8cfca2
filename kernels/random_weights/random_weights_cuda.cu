// A thread per group of eight elements that one block of random bits makes.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/random_weights/random_weights.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 65536;  // threads walk the rest

__global__ void DrawKernel(RandomTensor tensor, RandomSlice slice, BF16* y) {
  const int64_t groups = GroupsOfRow(slice);
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < slice.rows * groups; i += threads) {
    DrawGroupOfRow(tensor, slice, i / groups, i % groups, y);
  }
}

}  // namespace

void DrawWeights(const RandomTensor& tensor, const RandomSlice& slice, BF16* y,
                 KernelLine& line) {
  const int64_t all = slice.rows * GroupsOfRow(slice);
  const int64_t blocks = (all + kThreads - 1) / kThreads;
  Launch(
      DrawKernel,
      dim3(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks)),
      dim3(kThreads), 0, line, tensor, slice, y);
}

}  // namespace FACET_CUDA
}  // namespace facet
