#include "kernels/machine_limits/machine_limits_simd.h"

namespace facet {

float LimitBf16DotAvx512Bf16(int64_t rounds) {
  __m512 chains[kFmaChains];
  // Different beginnings, or the compiler makes one chain of all.
#pragma GCC unroll 12
  for (int j = 0; j < kFmaChains; ++j) {
    chains[j] = _mm512_set1_ps(static_cast<float>(j));
  }
  // Pairs of 1 * 1: every round adds 2 to every lane, until f32 is full.
  const __m512bh ones =
      _mm512_cvtne2ps_pbh(_mm512_set1_ps(1.0f), _mm512_set1_ps(1.0f));
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kFmaChains; ++j) {
      chains[j] = _mm512_dpbf16_ps(chains[j], ones, ones);
    }
    asm volatile("" : "+x"(chains[0]));
  }
  __m512 all = _mm512_setzero_ps();
#pragma GCC unroll 12
  for (const __m512& chain : chains) all = _mm512_add_ps(all, chain);
  return _mm512_reduce_add_ps(all);
}

}  // namespace facet
