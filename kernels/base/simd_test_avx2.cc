#include "kernels/base/simd_test_body.h"

namespace facet {

SimdTestOps SimdTestOpsAvx2() { return FACET_SIMD::Ops("avx2", Isa::kAvx2); }

}  // namespace facet
