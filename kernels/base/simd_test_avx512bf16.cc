#include "kernels/base/simd_test_body.h"

namespace facet {

SimdTestOps SimdTestOpsAvx512Bf16() {
  return FACET_SIMD::Ops("avx512bf16", Isa::kAvx512Bf16);
}

}  // namespace facet
