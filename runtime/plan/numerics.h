// Which arithmetic a cluster runs. All ranks run the same.
#ifndef FACET_RUNTIME_PLAN_NUMERICS_H_
#define FACET_RUNTIME_PLAN_NUMERICS_H_

#include <cstdint>
#include <string>

namespace facet {

// Inputs of matrix products: f32 as they are (the default), or rounded to bf16
// where the user asked for speed and the model has no experts to choose
// wrongly. Sums and the residual stream are f32 always.
enum class Activations : uint8_t { kF32, kBF16 };

// Elements of K/V pages.
enum class KvFormat : uint8_t { kF32, kBF16 };

struct NumericsOptions {
  Activations activations = Activations::kF32;
  KvFormat kv_format = KvFormat::kF32;
  // Speed over invariance: a device may take a vendor's products and NCCL's own
  // sums, whose bits depend on batch and sharding. Processors have no use for
  // it. Inputs are rounded then, activations is kBF16.
  bool fast = false;

  friend bool operator==(const NumericsOptions&,
                         const NumericsOptions&) = default;
};

// "f32", "bf16" or "fast": what the user asked for, for metrics and reports.
// The mode that a machine runs for it is NumericsMode()'s to name.
std::string NumericsName(const NumericsOptions& options);

// In a line of what it promises or gives up, for people.
std::string DescribeNumerics(const NumericsOptions& options);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_NUMERICS_H_
