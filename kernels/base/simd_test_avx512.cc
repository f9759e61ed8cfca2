#include "kernels/base/simd_test_body.h"

namespace facet {

SimdTestOps SimdTestOpsAvx512() {
  return FACET_SIMD::Ops("avx512", Isa::kAvx512);
}

}  // namespace facet
