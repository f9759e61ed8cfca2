// x[i] <- cap * tanh(x[i] / cap), in place. tanh: kernels/base/math.h.
#ifndef FACET_KERNELS_SOFTCAP_SOFTCAP_H_
#define FACET_KERNELS_SOFTCAP_SOFTCAP_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/thread_pool.h"

namespace facet {

// REQUIRES: cap > 0.
void SoftcapInPlace(absl::Span<float> x, float cap, ThreadPool& pool);

struct SoftcapVariant {
  const char* name;
  Isa isa;
  void (*run)(float* x, int64_t count, float cap);
};
absl::Span<const SoftcapVariant> SoftcapVariants();

}  // namespace facet

#endif  // FACET_KERNELS_SOFTCAP_SOFTCAP_H_
