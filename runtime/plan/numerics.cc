#include "runtime/plan/numerics.h"

namespace facet {

std::string NumericsName(const NumericsOptions& options) {
  if (options.fast) return "fast";
  return options.activations == Activations::kF32 ? "f32" : "bf16";
}

std::string DescribeNumerics(const NumericsOptions& options) {
  if (options.fast) {
    return "fast: inputs of products are rounded to bf16; on GPUs a vendor's "
           "products and NCCL's sums may join in, and then an answer may "
           "depend on batch, chunk and sharding, and change after a recovery";
  }
  const std::string inputs =
      options.activations == Activations::kF32
          ? "exact: f32 inputs of products"
          : "exact: inputs of products are rounded to bf16";
  return inputs + "; the same bits for every batch, chunk and sharding";
}

}  // namespace facet
