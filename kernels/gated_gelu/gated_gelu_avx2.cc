#include "kernels/gated_gelu/gated_gelu_simd.h"

namespace facet {

void GatedGeluAvx2(const GatedGeluArgs& args, int64_t begin, int64_t end) {
  FACET_SIMD::GateRows(args, begin, end);
}

}  // namespace facet
