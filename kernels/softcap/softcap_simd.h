// The loop of the AVX2 and AVX-512 variants.
#ifndef FACET_KERNELS_SOFTCAP_SOFTCAP_SIMD_H_
#define FACET_KERNELS_SOFTCAP_SOFTCAP_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/softcap/softcap_variants.h"

namespace facet {
namespace FACET_SIMD {

inline void CapAll(float* x, int64_t count, float cap) {
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    StoreN(Softcap(LoadN(x + i, n), cap), x + i, n);
  });
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_SOFTCAP_SOFTCAP_SIMD_H_
