#include <limits>

#include "kernels/base/math.h"
#include "kernels/sampling/mass.h"
#include "kernels/sampling/sampling_variants.h"

namespace facet {

float MaxLogitReference(const float* x, int64_t count) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < count; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

float SumExpReference(const float* x, int64_t count, float max) {
  float lanes[16] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i % 16] += Exp(x[i] - max);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

void WeighReference(float* x, int64_t count, float best, float temperature) {
  for (int64_t i = 0; i < count; ++i) {
    x[i] = x[i] == x[i] ? Exp((x[i] - best) / temperature) : 0.0f;
  }
}

uint64_t MassReference(const float* weights, int64_t count) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += ToMass(weights[i]);
  return sum;
}

}  // namespace facet
