#include "kernels/machine_limits/machine_limits_simd.h"

namespace facet {

uint32_t LimitReadAvx512(const uint8_t* data, int64_t bytes) {
  return FACET_SIMD::Read<false>(data, bytes);
}

uint32_t LimitReadPrefetchedAvx512(const uint8_t* data, int64_t bytes) {
  return FACET_SIMD::Read<true>(data, bytes);
}

void LimitMatvec1Avx512(const BF16* w, int64_t rows, const float* x, float* y) {
  FACET_SIMD::Matvec<1>(w, rows, x, y);
}

void LimitMatvec4Avx512(const BF16* w, int64_t rows, const float* x, float* y) {
  FACET_SIMD::Matvec<4>(w, rows, x, y);
}

void LimitMatvec6Avx512(const BF16* w, int64_t rows, const float* x, float* y) {
  FACET_SIMD::Matvec<6>(w, rows, x, y);
}

float LimitFmaAvx512(int64_t rounds) { return FACET_SIMD::Fma(rounds); }

}  // namespace facet
