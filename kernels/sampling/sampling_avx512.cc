#include "kernels/sampling/sampling_simd.h"

namespace facet {

float MaxLogitAvx512(const float* x, int64_t count) {
  return FACET_SIMD::MaxOf(x, count);
}

float SumExpAvx512(const float* x, int64_t count, float max) {
  return FACET_SIMD::SumExpOf(x, count, max);
}

void SoftenAvx512(float* x, int64_t count, float best, float temperature) {
  FACET_SIMD::SoftenAll(x, count, best, temperature);
}

}  // namespace facet
