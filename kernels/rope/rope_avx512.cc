#include "kernels/rope/rope_simd.h"

namespace facet {

void RopeAvx512(const RopeArgs& args, int64_t begin, int64_t end) {
  FACET_SIMD::RotateTokens(args, begin, end);
}

}  // namespace facet
