#include <cmath>

#include "kernels/rope/rope_variants.h"

namespace facet {

void RopeReference(const RopeArgs& args, int64_t begin, int64_t end) {
  const int half = args.head_dim / 2;
  for (int64_t t = begin; t < end; ++t) {
    for (int h = 0; h < args.heads; ++h) {
      float* x = args.x + t * args.token_stride + int64_t{h} * args.head_dim;
      for (int i = 0; i < args.rotated_pairs; ++i) {
        const float c = args.cos[t * args.rotated_pairs + i];
        const float s = args.sin[t * args.rotated_pairs + i];
        const float a = x[i];
        const float b = x[i + half];
        x[i] = std::fma(a, c, -(b * s));
        x[i + half] = std::fma(b, c, a * s);
      }
    }
  }
}

}  // namespace facet
