// Instructions of tensor cores, by whole warps.
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

// Four 8 x 8 matrices of 16-bit values from shared memory. Lane l gives the
// address of row l % 8 of matrix l / 8: 16 bytes, aligned. Of matrix r, out[r]
// is row g, columns 2 t and 2 t + 1, with g and t as above; transposed, column
// g and rows 2 t and 2 t + 1.
__device__ inline void LoadMatrices(const void* row, uint32_t (&out)[4]) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
      : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
      : "memory");
#elif !defined(__CUDACC__)
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int r = 0; r < 4; ++r) {
    out[r] = static_cast<const uint32_t*>(
        __shfl_sync(kFullWarp, row, 8 * r + lane / 4))[lane % 4];
  }
#endif
}

__device__ inline void LoadMatricesTransposed(const void* row,
                                              uint32_t (&out)[4]) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
      : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
      : "memory");
#elif !defined(__CUDACC__)
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int r = 0; r < 4; ++r) {
    const int first = 8 * r + lane % 4 * 2;
    const auto* upper =
        static_cast<const uint16_t*>(__shfl_sync(kFullWarp, row, first));
    const auto* lower =
        static_cast<const uint16_t*>(__shfl_sync(kFullWarp, row, first + 1));
    out[r] = upper[lane / 4] | static_cast<uint32_t>(lower[lane / 4]) << 16;
  }
#endif
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_TENSOR_CORE_H_
