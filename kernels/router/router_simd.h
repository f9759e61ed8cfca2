// The softmax of the AVX2 and AVX-512 variants.
#ifndef FACET_KERNELS_ROUTER_ROUTER_SIMD_H_
#define FACET_KERNELS_ROUTER_ROUTER_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/router/router_variants.h"

namespace facet {
namespace FACET_SIMD {

// Lanes past the end are -infinity, whose exp is an exact 0.
FACET_INLINE void Softmax(const float* logits, int count, float* p) {
  constexpr float kNothing = -__builtin_inff();
  F32x16 lanes = Set(kNothing);
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    lanes = Max(LoadNOr(logits + i, n, kNothing), lanes);
  });
  const F32x16 max = Set(ReduceMax(lanes));
  F32x16 sum = Zero();
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    const F32x16 e = Exp(LoadNOr(logits + i, n, kNothing) - max);
    sum = sum + e;
    StoreN(e, p + i, n);
  });
  const F32x16 total = Set(ReduceAdd(sum));
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    StoreN(LoadN(p + i, n) / total, p + i, n);
  });
}

inline void RouteTokens(const RouterArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    Softmax(args.logits + t * args.experts, args.experts,
            args.probabilities + t * args.experts);
  }
  ChooseExperts(args, begin, end);
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_ROUTER_ROUTER_SIMD_H_
