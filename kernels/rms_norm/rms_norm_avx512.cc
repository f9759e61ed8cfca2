#include "kernels/rms_norm/rms_norm_simd.h"

namespace facet {

void RmsNormAvx512(const RmsNormArgs& args, int64_t begin, int64_t end) {
  FACET_SIMD::NormRows(args, begin, end);
}

}  // namespace facet
