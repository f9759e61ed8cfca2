// The loops of the AVX2 and AVX-512 variants.
#ifndef FACET_KERNELS_GATED_GELU_GATED_GELU_SIMD_H_
#define FACET_KERNELS_GATED_GELU_GATED_GELU_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/gated_gelu/gated_gelu_variants.h"

namespace facet {
namespace FACET_SIMD {

inline void GateRows(const GatedGeluArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* gate = args.gate + t * args.gate_stride;
    const float* up = args.up + t * args.up_stride;
    float* y = args.y + t * args.y_stride;
    ForEach16(args.width, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
      StoreN(GeluTanh(LoadN(gate + i, n)) * LoadN(up + i, n), y + i, n);
    });
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_GATED_GELU_GATED_GELU_SIMD_H_
