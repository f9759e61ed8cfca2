#include "runtime/comm/add_floats.h"

namespace facet {

void AddFloats(float* __restrict__ sum, const float* __restrict__ values,
               size_t count) {
  for (size_t i = 0; i < count; ++i) sum[i] += values[i];
}

}  // namespace facet
