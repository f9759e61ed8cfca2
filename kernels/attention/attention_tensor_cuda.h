#ifndef FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_H_

#include "kernels/attention/attention_rows_cuda.h"
#include "kernels/cuda/kernel_calls.h"

namespace facet {
namespace FACET_CUDA {

// The items of `context` on tensor cores; what they keep is merged by whoever
// calls. REQUIRES: AttentionUsesTensorCores(context.args).
void TensorAttention(const AttentionContext& context, KernelLine& line);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_H_
