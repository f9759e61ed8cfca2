// Asks memory into the second-level cache, which nobody waits for.
#ifndef FACET_KERNELS_CUDA_PREFETCH_H_
#define FACET_KERNELS_CUDA_PREFETCH_H_

#include "kernels/cuda/launch.h"
#include "kernels/cuda/weights_ahead.h"

namespace facet {
namespace FACET_CUDA {

// The cache line of `at`.
__device__ inline void PrefetchLine(const void* at) {
#if defined(__CUDA_ARCH__)
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#else
  // An address that is nobody's shows.
  [[maybe_unused]] const unsigned char seen =
      *static_cast<const volatile unsigned char*>(at);
#endif
}

inline constexpr int64_t kCacheLine = 128;

__device__ inline void Prefetch(const void* from, int64_t bytes) {
  const unsigned char* at = static_cast<const unsigned char*>(from);
  for (int64_t b = 0; b < bytes; b += kCacheLine) PrefetchLine(at + b);
}

// In blocks behind the first `rows`, which have rows to work on: asks for what
// is ahead, and says that the block has no more to do.
__device__ inline bool FetchesAhead(const WeightsAhead& ahead, unsigned rows) {
  if (blockIdx.x < rows) return false;
  const AheadRange range =
      RangeAhead(ahead, int64_t{blockIdx.x - rows} * blockDim.x + threadIdx.x);
  Prefetch(range.from, range.bytes);
  return true;
}
// How many such blocks there are.
inline unsigned BlocksAhead(const WeightsAhead& ahead, int threads) {
  return static_cast<unsigned>((ahead.pieces + threads - 1) / threads);
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_PREFETCH_H_
