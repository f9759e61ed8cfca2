// A chain of norms of one row by a block, for kernels that have a row at hand.
// One warp adds the squares in the contract's lanes, which is a chain of width
// / 16 steps; the row lies in shared memory, so that a step costs little more
// than its addition.
#ifndef FACET_KERNELS_RMS_NORM_RMS_NORM_CUDA_H_
#define FACET_KERNELS_RMS_NORM_RMS_NORM_CUDA_H_

#include "absl/types/span.h"
#include "kernels/base/check.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/prefetch.h"
#include "kernels/rms_norm/rms_norm.h"

namespace facet {
namespace FACET_CUDA {

inline constexpr int kNormThreads = 256;
inline constexpr int kMostNorms = 6;
inline constexpr int64_t kWidestShared = 11 * 1024;  // floats: 44 KiB

struct NormChain {
  int64_t count = 0;
  int64_t shared_width = 0;  // rows up to this wide lie in shared memory
  RmsNormArgs norms[kMostNorms];

  size_t shared_bytes() const { return (shared_width + 4) * sizeof(float); }
};

inline NormChain ChainOf(absl::Span<const RmsNormArgs> norms) {
  FACET_CHECK(norms.size() <= kMostNorms);
  NormChain chain;
  chain.count = static_cast<int64_t>(norms.size());
  for (int64_t n = 0; n < chain.count; ++n) {
    chain.norms[n] = norms[n];
    if (norms[n].width <= kWidestShared &&
        norms[n].width > chain.shared_width) {
      chain.shared_width = norms[n].width;
    }
  }
  return chain;
}

__device__ inline float MeanSquare(const float* x, int64_t width) {
  float lane = 0;
  // Both halves of the warp add the same.
#pragma unroll 8
  for (int64_t i = threadIdx.x % kLanes; i < width; i += kLanes) {
    lane = fmaf(x[i], x[i], lane);
  }
  return SumOfLanes(lane) / static_cast<float>(width);
}

// Row `t`; `shared_row` holds chain.shared_bytes().
__device__ inline void NormRow(const NormChain& chain, int64_t t,
                               float* shared_row) {
  float* inverse_of_row = shared_row;
  float* row = inverse_of_row + 4;
  // They are needed last, and come from far.
  for (int64_t n = 0; n < chain.count; ++n) {
    const int64_t i = static_cast<int64_t>(threadIdx.x) * (kCacheLine / 4);
    if (chain.norms[n].weight != nullptr && i < chain.norms[n].width) {
      PrefetchLine(chain.norms[n].weight + i);
    }
  }
  for (int64_t n = 0; n < chain.count; ++n) {
    const RmsNormArgs& args = chain.norms[n];
    const float* x = args.x + t * args.x_stride;
    float* y = args.y + t * args.y_stride;
    const bool shared = args.width <= chain.shared_width;
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

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_RMS_NORM_RMS_NORM_CUDA_H_
