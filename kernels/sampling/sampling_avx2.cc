#include "kernels/sampling/sampling_simd.h"

namespace facet {

float MaxLogitAvx2(const float* x, int64_t count) {
  return FACET_SIMD::MaxOf(x, count);
}

float SumExpAvx2(const float* x, int64_t count, float max) {
  return FACET_SIMD::SumExpOf(x, count, max);
}

void WeighAvx2(float* x, int64_t count, float best, float temperature) {
  FACET_SIMD::WeighAll(x, count, best, temperature);
}

uint64_t MassAvx2(const float* weights, int64_t count) {
  return FACET_SIMD::MassOf(weights, count);
}

}  // namespace facet
