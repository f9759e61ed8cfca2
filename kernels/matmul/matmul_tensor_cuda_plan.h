// Who does what in a product on tensor cores; arithmetic alone, for both sides.
#ifndef FACET_KERNELS_MATMUL_MATMUL_TENSOR_CUDA_PLAN_H_
#define FACET_KERNELS_MATMUL_MATMUL_TENSOR_CUDA_PLAN_H_

#include "kernels/base/host_device.h"
#include "kernels/matmul/matmul_cuda_plan.h"

namespace facet {

// 16 bytes of padding: the 32 threads of a warp, eight rows of four words, then
// meet all banks.
inline constexpr int kTensorRowBytes = 2 * kChunk + 16;

FACET_HOST_DEVICE inline int TensorGroups(const MatmulArgs& args) {
  return args.segments * (args.up != nullptr ? 2 : 1);
}

// A tile has 16 rows of w at least, for a warp's product takes as many.
FACET_HOST_DEVICE inline int TensorStrips(const MatmulArgs& args) {
  const int strips = 16 * TensorGroups(args);
  return strips < kStrips ? kStrips : strips;
}

FACET_HOST_DEVICE inline StreamShape TensorShapeOf(const MatmulArgs& args) {
  return {TensorStrips(args) / TensorGroups(args), args.segments,
          args.k / args.segments};
}

inline int TensorThreads(const MatmulArgs& args) {
  return 2 * TensorStrips(args);
}

inline int TensorSharedBytes(const MatmulArgs& args, int rows_of_x) {
  return (kStages * TensorStrips(args) + args.segments * rows_of_x) *
         kTensorRowBytes;
}

// Goes by the shape alone, never by the number of rows of x.
FACET_HOST_DEVICE inline bool CanUseTensorCores(const MatmulArgs& args) {
  return args.bf16_inputs && CanStream(args) && TensorGroups(args) <= 8 &&
         args.k / args.segments % 16 == 0;
}

// Rows of x that a block takes.
inline int TensorRows(const MatmulArgs& args) {
  const int most = args.segments == 1 ? 64 : 32;
  for (int rows = 8; rows < most; rows *= 2) {
    if (args.m <= rows) return rows;
  }
  return most;
}

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_TENSOR_CUDA_PLAN_H_
