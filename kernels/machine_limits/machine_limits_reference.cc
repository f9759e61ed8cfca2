#include <cstring>

#include "kernels/machine_limits/machine_limits_variants.h"

namespace facet {

uint32_t LimitReadReference(const uint8_t* data, int64_t bytes) {
  uint32_t sum = 0;
  for (int64_t i = 0; i < bytes; i += sizeof(uint32_t)) {
    uint32_t word;
    std::memcpy(&word, data + i, sizeof(word));
    sum += word;
  }
  return sum;
}

uint32_t LimitReadPrefetchedReference(const uint8_t* data, int64_t bytes) {
  return LimitReadReference(data, bytes);
}

void LimitMatvec1Reference(const BF16* w, int64_t rows, const float* x,
                           float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    float sum = 0;
    for (int k = 0; k < kLimitK; ++k) sum += ToFloat(w[r * kLimitK + k]) * x[k];
    y[r] = sum;
  }
}

void LimitMatvec4Reference(const BF16* w, int64_t rows, const float* x,
                           float* y) {
  LimitMatvec1Reference(w, rows, x, y);
}

void LimitMatvec6Reference(const BF16* w, int64_t rows, const float* x,
                           float* y) {
  LimitMatvec1Reference(w, rows, x, y);
}

float LimitFmaReference(int64_t rounds) {
  float chains[kFmaChains];
  for (int j = 0; j < kFmaChains; ++j) chains[j] = static_cast<float>(j);
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& chain : chains) chain = chain * 0.5f + 0.5f;
  }
  float sum = 0;
  for (float chain : chains) sum += chain;
  return sum;
}

}  // namespace facet
