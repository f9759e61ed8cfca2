// The functions behind LimitVariants(); private to this folder.
#ifndef FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_VARIANTS_H_
#define FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_VARIANTS_H_

#include <cstdint>

#include "kernels/base/dtype.h"

namespace facet {

// kLimitRowWeights, for files that include nothing with inline functions.
inline constexpr int kLimitK = 1536;

// Multiply-adds side by side in one round: latency times units on current
// machines is 8 to 10, and AVX2 has 16 registers.
inline constexpr int kFmaChains = 12;

#define FACET_DECLARE_LIMITS(Isa)                                        \
  uint32_t LimitRead##Isa(const uint8_t* data, int64_t bytes);           \
  uint32_t LimitReadPrefetched##Isa(const uint8_t* data, int64_t bytes); \
  void LimitMatvec1##Isa(const BF16* w, int64_t rows, const float* x,    \
                         float* y);                                      \
  void LimitMatvec4##Isa(const BF16* w, int64_t rows, const float* x,    \
                         float* y);                                      \
  void LimitMatvec6##Isa(const BF16* w, int64_t rows, const float* x,    \
                         float* y);                                      \
  float LimitFma##Isa(int64_t rounds)

FACET_DECLARE_LIMITS(Reference);
FACET_DECLARE_LIMITS(Avx2);
FACET_DECLARE_LIMITS(Avx512);

#undef FACET_DECLARE_LIMITS

float LimitBf16DotAvx512Bf16(int64_t rounds);

}  // namespace facet

#endif  // FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_VARIANTS_H_
