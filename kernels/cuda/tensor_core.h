// One instruction of a tensor core, by a whole warp.
#ifndef FACET_KERNELS_CUDA_TENSOR_CORE_H_
#define FACET_KERNELS_CUDA_TENSOR_CORE_H_

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cuda/launch.h"

namespace facet {
namespace FACET_CUDA {

// Two values rounded to bf16, the first in the lower half.
__device__ inline uint32_t PackBF16(float low, float high) {
  return ToBF16(low).bits | static_cast<uint32_t>(ToBF16(high).bits) << 16;
}

// d[16, 8] += a[16, 16] * b[16, 8] of bf16 in f32. With g = lane / 4 and t =
// lane % 4, a lane holds of
//   a  rows g, g + 8, g, g + 8; columns 2 t and 2 t + 1, in the last two
//      registers eight further
//   b  column g; rows 2 t and 2 t + 1, in the second register eight further
//   d  rows g, g, g + 8, g + 8; columns 2 t, 2 t + 1, 2 t, 2 t + 1
__device__ inline void MultiplyAdd16x8x16(const uint32_t (&a)[4],
                                          const uint32_t (&b)[2],
                                          float (&d)[4]) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  EmulateMultiplyAdd(a, b, d);
#endif
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_TENSOR_CORE_H_
