// The products of experts with many pairs, on tensor cores.
#ifndef FACET_KERNELS_EXPERTS_EXPERTS_TENSOR_CUDA_H_
#define FACET_KERNELS_EXPERTS_EXPERTS_TENSOR_CUDA_H_

#include "kernels/cuda/kernel_calls.h"
#include "kernels/experts/experts.h"
#include "kernels/experts/experts_cuda_plan.h"
#include "kernels/matmul/big_tile_cuda_plan.h"
#include "kernels/matmul/matmul_cuda_plan.h"

namespace facet {

// From kManyRows tokens on. With one chosen expert in sixteen that is eight
// pairs for each, one pass over its weights for the streaming loop; a second
// pass would already cost it more than tiles cost that are not full.
inline bool ExpertsUseTensorCores(const ExpertsArgs& args, int shared_bytes) {
  return BigTileSharedBytes(2) <= shared_bytes && args.bf16_inputs &&
         args.tokens >= kManyRows && args.gate_up_dtype == DType::kBF16 &&
         args.down_dtype == DType::kBF16 &&
         CanBigTile(args.gate_up, args.gate_up_stride, args.width,
                    args.hidden) &&
         CanBigTile(args.down, args.down_stride, args.hidden, args.width) &&
         args.hidden % 8 == 0;
}

namespace FACET_CUDA {

// Outputs of all pairs, grouped by expert, to pairs.output: inputs and what
// lies between the two products are rounded to bf16, sums are f32.
//
// REQUIRES: ExpertsUseTensorCores(); pairs.tiles are of kBigTileX pairs.
void TensorExperts(const ExpertsArgs& args, const ExpertPairs& pairs,
                   KernelLine& line);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_EXPERTS_EXPERTS_TENSOR_CUDA_H_
