// Which arithmetic a cluster runs. All ranks run the same.
#ifndef FACET_RUNTIME_PLAN_NUMERICS_H_
#define FACET_RUNTIME_PLAN_NUMERICS_H_

#include <cstdint>

namespace facet {

// Inputs of matrix products: f32 as they are (the default), or rounded to bf16
// where the user asked for speed and the model has no experts to choose wrongly.
// Sums and the residual stream are f32 always.
enum class Activations : uint8_t { kF32, kBF16 };

// Elements of K/V pages.
enum class KvFormat : uint8_t { kF32, kBF16 };

struct NumericsOptions {
  Activations activations = Activations::kF32;
  KvFormat kv_format = KvFormat::kF32;
};

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_NUMERICS_H_
