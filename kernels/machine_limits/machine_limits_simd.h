// The loops of the AVX2 and AVX-512 variants.
//
// Every loop over an array of registers is unrolled, those outside the hot loop
// too: one that is not gives the array a place in memory, and GCC then stores
// it in every round, which more than halves the rates.
#ifndef FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_SIMD_H_
#define FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_SIMD_H_

#include "kernels/base/simd.h"
#include "kernels/machine_limits/machine_limits_variants.h"

namespace facet {
namespace FACET_SIMD {

#if defined(__AVX512F__)

using Bits = __m512i;
using Floats = __m512;
inline constexpr int kLanes = 16;

FACET_INLINE Bits LoadBits(const void* p) { return _mm512_loadu_si512(p); }
FACET_INLINE Bits AddBits(Bits a, Bits b) { return _mm512_add_epi32(a, b); }
FACET_INLINE Bits ZeroBits() { return _mm512_setzero_si512(); }
FACET_INLINE Floats LoadFloats(const float* p) { return _mm512_loadu_ps(p); }
FACET_INLINE Floats SetFloats(float x) { return _mm512_set1_ps(x); }
FACET_INLINE void StoreBits(Bits a, uint32_t* p) { _mm512_storeu_si512(p, a); }
FACET_INLINE void StoreFloats(Floats a, float* p) { _mm512_storeu_ps(p, a); }
FACET_INLINE Floats AddFloats(Floats a, Floats b) {
  return _mm512_add_ps(a, b);
}
FACET_INLINE Floats FmaFloats(Floats a, Floats b, Floats c) {
  return _mm512_fmadd_ps(a, b, c);
}
// Of each 32-bit word the lower and the upper bf16.
FACET_INLINE Floats WidenLower(Bits a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(a, 16));
}
FACET_INLINE Floats WidenUpper(Bits a) {
  return _mm512_castsi512_ps(
      _mm512_and_si512(a, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}

#elif defined(__AVX2__)

using Bits = __m256i;
using Floats = __m256;
inline constexpr int kLanes = 8;

FACET_INLINE Bits LoadBits(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
FACET_INLINE Bits AddBits(Bits a, Bits b) { return _mm256_add_epi32(a, b); }
FACET_INLINE Bits ZeroBits() { return _mm256_setzero_si256(); }
FACET_INLINE Floats LoadFloats(const float* p) { return _mm256_loadu_ps(p); }
FACET_INLINE Floats SetFloats(float x) { return _mm256_set1_ps(x); }
FACET_INLINE void StoreBits(Bits a, uint32_t* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
}
FACET_INLINE void StoreFloats(Floats a, float* p) { _mm256_storeu_ps(p, a); }
FACET_INLINE Floats AddFloats(Floats a, Floats b) {
  return _mm256_add_ps(a, b);
}
FACET_INLINE Floats FmaFloats(Floats a, Floats b, Floats c) {
  return _mm256_fmadd_ps(a, b, c);
}
FACET_INLINE Floats WidenLower(Bits a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(a, 16));
}
FACET_INLINE Floats WidenUpper(Bits a) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(a, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}

#endif

inline constexpr int kCacheLine = 64;

template <bool kPrefetch>
FACET_INLINE uint32_t Read(const uint8_t* data, int64_t bytes) {
  constexpr int kStreams = 8;
  constexpr int kStep = kStreams * sizeof(Bits);
  constexpr int kAhead = 4096;
  Bits sums[kStreams];
#pragma GCC unroll 8
  for (Bits& sum : sums) sum = ZeroBits();
  for (int64_t i = 0; i < bytes; i += kStep) {
    if (kPrefetch) {
#pragma GCC unroll 8
      for (int j = 0; j < kStep; j += kCacheLine) {
        _mm_prefetch(reinterpret_cast<const char*>(data) + i + kAhead + j,
                     _MM_HINT_T1);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kStreams; ++j) {
      sums[j] = AddBits(sums[j], LoadBits(data + i + j * sizeof(Bits)));
    }
  }
  Bits all = ZeroBits();
#pragma GCC unroll 8
  for (const Bits& sum : sums) all = AddBits(all, sum);
  uint32_t lanes[kLanes];
  StoreBits(all, lanes);
  uint32_t total = 0;
  for (uint32_t lane : lanes) total += lane;
  return total;
}

// x as the weights lie in registers once widened: for each two registers of
// weights the even elements, then the odd ones.
FACET_INLINE void Deinterleave(const float* x, float* out) {
  for (int k = 0; k < kLimitK; k += 2 * kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      out[k + l] = x[k + 2 * l];
      out[k + kLanes + l] = x[k + 2 * l + 1];
    }
  }
}

template <int kRows>
FACET_INLINE void MatvecRows(const BF16* w, const float* x, float* y) {
  constexpr int kAhead = kRows > 1 ? kRows : 2;
  Floats even[kRows], odd[kRows];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = SetFloats(0);
  for (int k = 0; k < kLimitK; k += 2 * kLanes) {
    const Floats x_even = LoadFloats(x + k);
    const Floats x_odd = LoadFloats(x + k + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const BF16* at = w + r * kLimitK + k;
      // The rows after these: the hardware does not follow short streams. To
      // the second-level cache, as on Zen 4 the first one costs a third.
      if (kLanes == 16 || k % (4 * kLanes) == 0) {
        _mm_prefetch(reinterpret_cast<const char*>(at + kAhead * kLimitK),
                     _MM_HINT_T1);
      }
      const Bits bits = LoadBits(at);
      even[r] = FmaFloats(WidenLower(bits), x_even, even[r]);
      odd[r] = FmaFloats(WidenUpper(bits), x_odd, odd[r]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    float lanes[kLanes];
    StoreFloats(AddFloats(even[r], odd[r]), lanes);
    float sum = 0;
    for (float lane : lanes) sum += lane;
    y[r] = sum;
  }
}

template <int kRows>
FACET_INLINE void Matvec(const BF16* w, int64_t rows, const float* x,
                         float* y) {
  alignas(64) float in_order[kLimitK];
  Deinterleave(x, in_order);
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    MatvecRows<kRows>(w + r * kLimitK, in_order, y + r);
  }
  for (; r < rows; ++r) MatvecRows<1>(w + r * kLimitK, in_order, y + r);
}

FACET_INLINE float Fma(int64_t rounds) {
  Floats chains[kFmaChains];
#pragma GCC unroll 12
  for (int j = 0; j < kFmaChains; ++j) {
    chains[j] = SetFloats(static_cast<float>(j));
  }
  // Converges to 1, far from denormals and infinities.
  const Floats factor = SetFloats(0.5f);
  const Floats term = SetFloats(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kFmaChains; ++j) {
      chains[j] = FmaFloats(chains[j], factor, term);
    }
    // Keeps rounds apart.
    asm volatile("" : "+x"(chains[0]));
  }
  Floats all = SetFloats(0);
#pragma GCC unroll 12
  for (const Floats& chain : chains) all = AddFloats(all, chain);
  float lanes[kLanes];
  StoreFloats(all, lanes);
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_SIMD_H_
