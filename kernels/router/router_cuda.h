// The routing of one token by a warp, for kernels that have one at hand.
#ifndef FACET_KERNELS_ROUTER_ROUTER_CUDA_H_
#define FACET_KERNELS_ROUTER_ROUTER_CUDA_H_

#include "kernels/base/math.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/router/router.h"

namespace facet {
namespace FACET_CUDA {

// Shared memory for one token.
FACET_HOST_DEVICE inline size_t RouterBytes(const RouterArgs& args) {
  const size_t bytes = args.experts * (sizeof(float) + sizeof(bool)) +
                       args.experts_per_token * sizeof(int32_t);
  return (bytes + 15) / 16 * 16;
}

// Whether expert i of probability p goes before expert j of probability q.
__device__ inline bool Before(float p, int i, float q, int j) {
  if (p > q) return true;
  return !(q > p) && i < j;
}

// Token `t` by one warp; `shared` holds RouterBytes().
__device__ inline void RouteToken(const RouterArgs& args, int64_t t,
                                  unsigned char* shared) {
  const int thread = static_cast<int>(threadIdx.x) % 32;
  const int experts = args.experts, k = args.experts_per_token;
  float* p = reinterpret_cast<float*>(shared);                // [experts]
  int32_t* chosen = reinterpret_cast<int32_t*>(p + experts);  // [K]
  bool* taken = reinterpret_cast<bool*>(chosen + k);          // [experts]
  const float* logits = args.logits + t * experts;

  float largest = logits[0];
  for (int i = thread; i < experts; i += 32) {
    largest = largest < logits[i] ? logits[i] : largest;
    taken[i] = false;
  }
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kFullWarp, largest, step);
    largest = largest < other ? other : largest;
  }
  for (int i = thread; i < experts; i += 32) p[i] = Exp(logits[i] - largest);
  __syncwarp();
  float lane = 0;
  for (int i = thread % kLanes; i < experts; i += kLanes) lane += p[i];
  const float sum = SumOfLanes(lane);
  __syncwarp();  // all have read p
  for (int i = thread; i < experts; i += 32) {
    p[i] /= sum;
    args.probabilities[t * experts + i] = p[i];
  }
  __syncwarp();

  for (int j = 0; j < k; ++j) {
    int best = -1;
    for (int i = thread; i < experts; i += 32) {
      if (taken[i]) continue;
      if (best < 0 || Before(p[i], i, p[best], best)) best = i;
    }
    for (int step = 16; step > 0; step /= 2) {
      const int other = __shfl_xor_sync(kFullWarp, best, step);
      if (other >= 0 && (best < 0 || Before(p[other], other, p[best], best))) {
        best = other;
      }
    }
    // The lanes agree unless there are NaNs; then the first one's word counts.
    best = __shfl_sync(kFullWarp, best, 0);
    __syncwarp();  // all have read taken
    if (thread == 0) {
      chosen[j] = best;
      taken[best] = true;
    }
    __syncwarp();
  }
  float total = 0;
  for (int j = 0; j < k; ++j) total += p[chosen[j]];
  for (int j = thread; j < k; j += 32) {
    args.chosen[t * k + j] = chosen[j];
    args.weights[t * k + j] =
        p[chosen[j]] / total * args.per_expert_scale[chosen[j]];
  }
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_ROUTER_ROUTER_CUDA_H_
