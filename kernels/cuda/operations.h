// The operations of kernels/backend on a device. Each has the contract of its
// folder, the orders of addition included, so that in equal arithmetic a device
// computes the bits a processor computes. All pointers in arguments are device
// memory unless said otherwise. Kernels are put into `line`.
#ifndef FACET_KERNELS_CUDA_OPERATIONS_H_
#define FACET_KERNELS_CUDA_OPERATIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_cuda_plan.h"
#include "kernels/attention_inputs/attention_inputs.h"
#include "kernels/cuda/kernel_calls.h"
#include "kernels/cuda/weights_ahead.h"
#include "kernels/embedding/embedding.h"
#include "kernels/experts/experts.h"
#include "kernels/experts/experts_cuda_plan.h"
#include "kernels/gated_gelu/gated_gelu.h"
#include "kernels/matmul/big_products_cuda_plan.h"
#include "kernels/matmul/matmul.h"
#include "kernels/random_weights/random_weights.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/router/router.h"
#include "kernels/sampling/top_logits_cuda_plan.h"

namespace facet {
namespace FACET_CUDA {

// Shared memory that a block may have on the device in use: 227 KiB on Hopper,
// 163 on an A100, 99 on cards for desktops.
int MostSharedBytes();

void Embedding(const EmbeddingArgs& args, KernelLine& line);
void RopeTable(int64_t positions, const int64_t* position, int64_t frequencies,
               const float* frequency, float* cos, float* sin,
               KernelLine& line);
// Weights `ahead` are asked into the cache meanwhile.
void RmsNorms(absl::Span<const RmsNormArgs> chain, const WeightsAhead& ahead,
              KernelLine& line);
void Matmuls(absl::Span<const MatmulArgs> problems, KernelLine& line);
// Large tiles for products of many rows. Rounds the inputs of the first of
// `problems` to scratch.rounded, and says how many of them, one behind the
// other, have the same.
size_t RoundSharedInput(absl::Span<const MatmulArgs> problems, BF16* to,
                        KernelLine& line);
// REQUIRES: `shape` is BigShapeOf(args), with large tiles; args' inputs are
// in scratch.rounded.
void BigMatmul(const MatmulArgs& args, const BigShape& shape,
               const ProductScratch& scratch, KernelLine& line);
// gelu(y) * up with the y of `product`, which is written nowhere. REQUIRES:
// GeluFollows(product, gelu).
void MatmulAndGelu(const MatmulArgs& product, const GatedGeluArgs& gelu,
                   KernelLine& line);
inline bool GeluFollows(const MatmulArgs& product, const GatedGeluArgs& gelu) {
  return product.up == nullptr && gelu.rows == product.m &&
         gelu.width == product.n && gelu.gate == product.y &&
         gelu.y == product.y && gelu.gate_stride == product.y_stride &&
         gelu.y_stride == product.y_stride;
}
// y[i] = x[row(i)] rounded to bf16, row(i) as in MatmulArgs; rows of y lie one
// behind the other.
struct RoundRowsArgs {
  int64_t rows = 0;
  int64_t width = 0;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* x_rows = nullptr;
  BF16* y = nullptr;
};
void RoundRows(const RoundRowsArgs& args, KernelLine& line);
void AttentionInputs(const AttentionInputsArgs& args, KernelLine& line);
void GatedGelu(const GatedGeluArgs& args, KernelLine& line);
void Router(const RouterArgs& args, KernelLine& line);
void Scale(float* x, int64_t count, float factor, KernelLine& line);
// `rows` are device memory.
void GatherRows(int64_t count, const int64_t* rows, int64_t width,
                const float* x, float* y, KernelLine& line);
void AddParts(int parts, const float* x, int64_t count, float* y,
              KernelLine& line);
void Softcap(float* x, int64_t count, float cap, KernelLine& line);

// y: [rows, cols] of the slice, without gaps.
void DrawWeights(const RandomTensor& tensor, const RandomSlice& slice, BF16* y,
                 KernelLine& line);

// The `count` best of each row, best first: [rows, count] in `scratch`, which
// holds TopScratchBytes(). REQUIRES: 0 < count <= kMostDeviceTop.
const TopKey* TopLogits(int64_t rows, int64_t width, const float* logits,
                        int count, void* scratch, KernelLine& line);

// Device memory that Experts() works in, for steps of up to `tokens`; more
// where experts may be `fast`.
size_t ExpertsScratchBytes(int64_t tokens, int experts_per_token,
                           int64_t experts, int64_t hidden, int64_t width,
                           bool fast);
// What is left to do behind ExpertOutputs().
struct ExpertSums {
  int64_t tokens = 0;
  ExpertPairs pairs;
  const int32_t* chosen = nullptr;
  int64_t experts_per_shard = 1;
  int64_t hidden = 0;
  float* y = nullptr;
};
// All but the sums and the products beside. `router`, if any, chooses the
// experts of `args` and is run before. With `fast`, products of many tokens run
// on tensor cores, rounded, and others round nothing.
ExpertSums ExpertOutputs(const ExpertsArgs& args, const RouterArgs* router,
                         bool fast, void* scratch, KernelLine& line);
// The sums, and norms of as many rows behind them, as RmsNorms().
void AddExperts(const ExpertSums& sums, absl::Span<const RmsNormArgs> norms,
                const WeightsAhead& ahead, KernelLine& line);

// `first` is what all sequences share, with the pointers of the first; `plan`
// and its arrays are those of PlanAttention(), in device memory.
void Attention(const AttentionArgs& first, const AttentionLaunch& launch,
               float* states, KernelLine& line);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_OPERATIONS_H_
