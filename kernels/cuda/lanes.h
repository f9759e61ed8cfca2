// The sum of 16 lanes that every contract of kernels/ ends in: l + 8, l + 4,
// l + 2, l + 1. Adding is commutative, so every lane may do it and all hold the
// same bits.
#ifndef FACET_KERNELS_CUDA_LANES_H_
#define FACET_KERNELS_CUDA_LANES_H_

#include "kernels/cuda/launch.h"

namespace facet {
namespace FACET_CUDA {

inline constexpr int kLanes = 16;

// Lane l of either half of a warp holds `lane`. All threads of the warp call.
__device__ inline float SumOfLanes(float lane) {
  lane += __shfl_xor_sync(kFullWarp, lane, 8);
  lane += __shfl_xor_sync(kFullWarp, lane, 4);
  lane += __shfl_xor_sync(kFullWarp, lane, 2);
  lane += __shfl_xor_sync(kFullWarp, lane, 1);
  return lane;
}

// Of two neighbouring threads the even one holds lanes 0 to 7 in `lanes`, the
// odd one lanes 8 to 15.
__device__ inline float SumOfHalves(const float (&lanes)[8]) {
  float sums[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    sums[i] = lanes[i] + __shfl_xor_sync(kFullWarp, lanes[i], 1);
  }
#pragma unroll
  for (int half = 4; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_LANES_H_
