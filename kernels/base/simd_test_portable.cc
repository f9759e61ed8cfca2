#include "kernels/base/simd_test_body.h"

namespace facet {

SimdTestOps SimdTestOpsPortable() {
  return FACET_SIMD::Ops("portable", Isa::kReference);
}

}  // namespace facet
