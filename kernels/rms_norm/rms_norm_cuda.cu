// A block per row walks the chain. One warp adds the squares in the contract's
// lanes, which is a chain of width / 16 steps; the row lies in shared memory,
// so that a step costs little more than its addition.
#include "kernels/base/check.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kThreads = 256;
constexpr int kMostNorms = 6;
constexpr int64_t kWidestShared = 11 * 1024;  // floats: 44 KiB

struct Chain {
  int count;
  RmsNormArgs norms[kMostNorms];
};

__device__ float MeanSquare(const float* x, int64_t width) {
  float lane = 0;
  // Both halves of the warp add the same.
#pragma unroll 8
  for (int64_t i = threadIdx.x % kLanes; i < width; i += kLanes) {
    lane = fmaf(x[i], x[i], lane);
  }
  return SumOfLanes(lane) / static_cast<float>(width);
}

__global__ void RmsNormsKernel(Chain chain, int64_t shared_width) {
  float* inverse_of_row = SharedMemory<float>();
  float* row = inverse_of_row + 4;
  const int64_t t = blockIdx.x;
  for (int n = 0; n < chain.count; ++n) {
    const RmsNormArgs& args = chain.norms[n];
    const float* x = args.x + t * args.x_stride;
    float* y = args.y + t * args.y_stride;
    const bool shared = args.width <= shared_width;
    if (shared) {
      for (int64_t i = threadIdx.x; i < args.width; i += blockDim.x) {
        row[i] = x[i];
      }
      __syncthreads();
    }
    if (threadIdx.x < 32) {
      const float mean = MeanSquare(shared ? row : x, args.width);
      if (threadIdx.x == 0) *inverse_of_row = 1.0f / sqrtf(mean + args.epsilon);
    }
    __syncthreads();
    const float inverse = *inverse_of_row;
    for (int64_t i = threadIdx.x; i < args.width; i += blockDim.x) {
      float v = (shared ? row[i] : x[i]) * inverse;
      if (args.weight != nullptr) v *= args.weight[i];
      if (args.residual != nullptr) {
        v = args.residual[t * args.y_stride + i] + v;
      }
      y[i] = v * args.output_scale;
    }
    // The next norm may read what this one wrote, and writes what it read.
    __syncthreads();
  }
}

}  // namespace

void RmsNorms(absl::Span<const RmsNormArgs> norms, KernelLine& line) {
  FACET_CHECK(norms.size() <= kMostNorms);
  if (norms.empty()) return;
  Chain chain = {};
  chain.count = static_cast<int>(norms.size());
  int64_t widest = 0;
  for (int n = 0; n < chain.count; ++n) {
    chain.norms[n] = norms[n];
    if (norms[n].width <= kWidestShared && norms[n].width > widest) {
      widest = norms[n].width;
    }
  }
  Launch(RmsNormsKernel, dim3(static_cast<unsigned>(norms[0].rows)), kThreads,
         (widest + 4) * sizeof(float), line, chain, widest);
}

}  // namespace FACET_CUDA
}  // namespace facet
