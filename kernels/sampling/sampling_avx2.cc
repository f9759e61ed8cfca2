#include "kernels/sampling/sampling_simd.h"

namespace facet {

float MaxLogitAvx2(const float* x, int64_t count) {
  return FACET_SIMD::MaxOf(x, count);
}

float SumExpAvx2(const float* x, int64_t count, float max) {
  return FACET_SIMD::SumExpOf(x, count, max);
}

void SoftenAvx2(float* x, int64_t count, float best, float temperature) {
  FACET_SIMD::SoftenAll(x, count, best, temperature);
}

}  // namespace facet
