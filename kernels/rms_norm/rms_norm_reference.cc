// The contract's formula and order, lane by lane, as a reader would write it.
#include <cmath>

#include "kernels/rms_norm/rms_norm_variants.h"

namespace facet {
namespace {

float MeanSquare(const float* x, int64_t width) {
  float lanes[16] = {};
  for (int64_t i = 0; i < width; ++i) {
    lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
  }
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0] / static_cast<float>(width);
}

}  // namespace

void RmsNormReference(const RmsNormArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* y = args.y + t * args.y_stride;
    const float inverse =
        1.0f / std::sqrt(MeanSquare(x, args.width) + args.epsilon);
    for (int64_t i = 0; i < args.width; ++i) {
      float v = x[i] * inverse;
      if (args.weight != nullptr) v *= args.weight[i];
      if (args.residual != nullptr) {
        v = args.residual[t * args.y_stride + i] + v;
      }
      y[i] = v * args.output_scale;
    }
  }
}

}  // namespace facet
