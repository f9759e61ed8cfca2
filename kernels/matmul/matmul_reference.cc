// The contract's order, lane by lane, as a reader would write it.
#include <cmath>

#include "kernels/matmul/matmul_variants.h"

namespace facet {
namespace {

float WeightAt(const MatmulArgs& args, int64_t row, int64_t k) {
  const int64_t i = row * args.w_stride + k;
  if (args.w_dtype == DType::kBF16) {
    BF16 value;
    std::memcpy(static_cast<void*>(&value),
                static_cast<const uint8_t*>(args.w) + 2 * i, sizeof(value));
    return ToFloat(value);
  }
  float value;
  std::memcpy(&value, static_cast<const uint8_t*>(args.w) + 4 * i,
              sizeof(value));
  return value;
}

float Dot(const MatmulArgs& args, const float* x, int64_t row, int64_t begin,
          int64_t end) {
  float lanes[16] = {};
  for (int64_t k = begin; k < end; ++k) {
    const float value = args.bf16_inputs ? ToFloat(ToBF16(x[k])) : x[k];
    float& lane = lanes[(k - begin) % 16];
    lane = std::fma(value, WeightAt(args, row, k), lane);
  }
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

}  // namespace

void MatmulReference(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                     const MatmulStream&, float*) {
  const int64_t part = args.k / args.segments;
  for (int64_t i = 0; i < args.m; ++i) {
    const int64_t x_row = args.x_rows != nullptr ? args.x_rows[i] : i;
    const float* x = args.x + x_row * args.x_stride;
    for (int64_t j = n_begin; j < n_end; ++j) {
      float sums[32];
      for (int s = 0; s < args.segments; ++s) {
        sums[s] = Dot(args, x, j, s * part, (s + 1) * part);
      }
      for (int step = 1; step < args.segments; step *= 2) {
        for (int s = 0; s < args.segments; s += 2 * step) {
          sums[s] += sums[s + step];
        }
      }
      args.y[i * args.y_stride + j] = sums[0];
    }
  }
}

}  // namespace facet
