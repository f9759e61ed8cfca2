#include "kernels/softcap/softcap_simd.h"

namespace facet {

void SoftcapAvx2(float* x, int64_t count, float cap) {
  FACET_SIMD::CapAll(x, count, cap);
}

}  // namespace facet
