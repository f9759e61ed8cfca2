#include "kernels/machine_limits/machine_limits_simd.h"

namespace facet {

uint32_t LimitReadAvx2(const uint8_t* data, int64_t bytes) {
  return FACET_SIMD::Read<false>(data, bytes);
}

uint32_t LimitReadPrefetchedAvx2(const uint8_t* data, int64_t bytes) {
  return FACET_SIMD::Read<true>(data, bytes);
}

void LimitMatvec1Avx2(const BF16* w, int64_t rows, const float* x, float* y) {
  FACET_SIMD::Matvec<1>(w, rows, x, y);
}

void LimitMatvec4Avx2(const BF16* w, int64_t rows, const float* x, float* y) {
  FACET_SIMD::Matvec<4>(w, rows, x, y);
}

void LimitMatvec6Avx2(const BF16* w, int64_t rows, const float* x, float* y) {
  FACET_SIMD::Matvec<6>(w, rows, x, y);
}

float LimitFmaAvx2(int64_t rounds) { return FACET_SIMD::Fma(rounds); }

}  // namespace facet
