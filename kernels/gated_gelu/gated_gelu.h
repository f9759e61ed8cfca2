// y[t, i] = gelu_tanh(gate[t, i]) * up[t, i], arXiv:2002.05202. Elementwise, so
// exact under any split. gelu_tanh: kernels/base/math.h.
#ifndef FACET_KERNELS_GATED_GELU_GATED_GELU_H_
#define FACET_KERNELS_GATED_GELU_GATED_GELU_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/thread_pool.h"

namespace facet {

struct GatedGeluArgs {
  int64_t rows = 0;
  int64_t width = 0;
  const float* gate = nullptr;  // [rows, width]
  int64_t gate_stride = 0;
  const float* up = nullptr;  // [rows, width]
  int64_t up_stride = 0;
  float* y = nullptr;  // [rows, width]; may be gate or up
  int64_t y_stride = 0;
};

void GatedGelu(const GatedGeluArgs& args, ThreadPool& pool);

struct GatedGeluVariant {
  const char* name;
  Isa isa;
  void (*run)(const GatedGeluArgs& args, int64_t begin, int64_t end);  // rows
};
absl::Span<const GatedGeluVariant> GatedGeluVariants();
// The one in use, for operations that have this one in them.
const GatedGeluVariant& ActiveGatedGelu();

}  // namespace facet

#endif  // FACET_KERNELS_GATED_GELU_GATED_GELU_H_
