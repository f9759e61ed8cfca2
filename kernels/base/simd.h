// Sixteen f32 lanes, whatever the register width: one AVX-512 register, two
// AVX2 registers or an array. Every operation rounds alike in all three, so
// code written on F32x16 computes the same bits under every instruction set.
//
// Only files compiled for one instruction set include this, and each inside its
// own namespace (FACET_SIMD), so that no inline function compiled for AVX-512
// can stand in for one compiled for AVX2. For the same reason those files
// include no headers with inline functions of others, such as <vector>.
#ifndef FACET_KERNELS_BASE_SIMD_H_
#define FACET_KERNELS_BASE_SIMD_H_

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#if defined(__AVX512BF16__)
#define FACET_SIMD simd_avx512bf16
#else
#define FACET_SIMD simd_avx512
#endif
#elif defined(__AVX2__)
#include <immintrin.h>
#define FACET_SIMD simd_avx2
#else
#define FACET_SIMD simd_portable
#endif

#include "kernels/base/dtype.h"
#include "kernels/base/math.h"

namespace facet {
namespace FACET_SIMD {

#define FACET_INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)

struct F32x16 {
  __m512 v;
};
struct Mask16 {
  __mmask16 v;
};

FACET_INLINE F32x16 Set(float x) { return {_mm512_set1_ps(x)}; }
FACET_INLINE F32x16 Zero() { return {_mm512_setzero_ps()}; }
FACET_INLINE F32x16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
FACET_INLINE void Store(F32x16 a, float* p) { _mm512_storeu_ps(p, a.v); }
FACET_INLINE F32x16 Widen(__m256i bits) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
FACET_INLINE F32x16 Load(const BF16* p) {
  return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// The first n lanes, 0 <= n <= 16; the others are 0.
FACET_INLINE F32x16 LoadPartial(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
}
FACET_INLINE F32x16 LoadPartial(const BF16* p, int n) {
  return Widen(
      _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p));
}
FACET_INLINE void StorePartial(F32x16 a, float* p, int n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), a.v);
}
FACET_INLINE F32x16 operator+(F32x16 a, F32x16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
FACET_INLINE F32x16 operator-(F32x16 a, F32x16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
FACET_INLINE F32x16 operator*(F32x16 a, F32x16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
FACET_INLINE F32x16 operator/(F32x16 a, F32x16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
// a * b + c, rounded once.
FACET_INLINE F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
// a < b ? a : b, so the second operand where either is a NaN.
FACET_INLINE F32x16 Min(F32x16 a, F32x16 b) {
  return {_mm512_min_ps(a.v, b.v)};
}
FACET_INLINE F32x16 Max(F32x16 a, F32x16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
FACET_INLINE F32x16 Abs(F32x16 a) { return {_mm512_abs_ps(a.v)}; }
FACET_INLINE F32x16 CopySign(F32x16 magnitude, F32x16 sign) {
  const __m512i mask = _mm512_set1_epi32(INT32_MIN);
  return {_mm512_castsi512_ps(_mm512_or_si512(
      _mm512_andnot_si512(mask, _mm512_castps_si512(magnitude.v)),
      _mm512_and_si512(mask, _mm512_castps_si512(sign.v))))};
}
FACET_INLINE Mask16 Less(F32x16 a, F32x16 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
FACET_INLINE F32x16 Select(Mask16 m, F32x16 yes, F32x16 no) {
  return {_mm512_mask_blend_ps(m.v, no.v, yes.v)};
}
// 2^n for integral n in [-126, 127].
FACET_INLINE F32x16 Pow2(F32x16 n) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(
      _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23))};
}
FACET_INLINE __m256 FoldHalves(F32x16 a) {
  return _mm256_add_ps(_mm512_castps512_ps256(a.v),
                       _mm512_extractf32x8_ps(a.v, 1));
}
FACET_INLINE __m256 FoldHalvesMax(F32x16 a) {
  return _mm256_max_ps(_mm512_castps512_ps256(a.v),
                       _mm512_extractf32x8_ps(a.v, 1));
}

#elif defined(__AVX2__)

struct F32x16 {
  __m256 lo, hi;
};
struct Mask16 {
  __m256 lo, hi;
};

FACET_INLINE F32x16 Set(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
FACET_INLINE F32x16 Zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
FACET_INLINE F32x16 Load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
FACET_INLINE void Store(F32x16 a, float* p) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
FACET_INLINE __m256 Widen(__m128i bits) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
FACET_INLINE F32x16 Load(const BF16* p) {
  return {Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
FACET_INLINE F32x16 LoadPartial(const float* p, int n) {
  float buffer[16] = {};
  std::memcpy(buffer, p, sizeof(float) * n);
  return Load(buffer);
}
FACET_INLINE F32x16 LoadPartial(const BF16* p, int n) {
  BF16 buffer[16] = {};
  std::memcpy(static_cast<void*>(buffer), p, sizeof(BF16) * n);
  return Load(buffer);
}
FACET_INLINE void StorePartial(F32x16 a, float* p, int n) {
  float buffer[16];
  Store(a, buffer);
  std::memcpy(p, buffer, sizeof(float) * n);
}
FACET_INLINE F32x16 operator+(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
FACET_INLINE F32x16 operator-(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
FACET_INLINE F32x16 operator*(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
FACET_INLINE F32x16 operator/(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
FACET_INLINE F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
FACET_INLINE F32x16 Min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
FACET_INLINE F32x16 Max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
FACET_INLINE F32x16 Abs(F32x16 a) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
  return {_mm256_and_ps(a.lo, mask), _mm256_and_ps(a.hi, mask)};
}
FACET_INLINE F32x16 CopySign(F32x16 magnitude, F32x16 sign) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN));
  return {_mm256_or_ps(_mm256_andnot_ps(mask, magnitude.lo),
                       _mm256_and_ps(mask, sign.lo)),
          _mm256_or_ps(_mm256_andnot_ps(mask, magnitude.hi),
                       _mm256_and_ps(mask, sign.hi))};
}
FACET_INLINE Mask16 Less(F32x16 a, F32x16 b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ),
          _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
FACET_INLINE F32x16 Select(Mask16 m, F32x16 yes, F32x16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, m.lo),
          _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}
FACET_INLINE __m256 Pow2Half(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(
      _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
FACET_INLINE F32x16 Pow2(F32x16 n) { return {Pow2Half(n.lo), Pow2Half(n.hi)}; }
FACET_INLINE __m256 FoldHalves(F32x16 a) { return _mm256_add_ps(a.lo, a.hi); }
FACET_INLINE __m256 FoldHalvesMax(F32x16 a) {
  return _mm256_max_ps(a.lo, a.hi);
}

#else

struct F32x16 {
  float v[16];
};
struct Mask16 {
  bool v[16];
};

#define FACET_LANES(expression)                     \
  F32x16 r;                                         \
  for (int i = 0; i < 16; ++i) r.v[i] = expression; \
  return r

FACET_INLINE F32x16 Set(float x) { FACET_LANES(x); }
FACET_INLINE F32x16 Zero() { FACET_LANES(0.0f); }
FACET_INLINE F32x16 Load(const float* p) { FACET_LANES(p[i]); }
FACET_INLINE F32x16 Load(const BF16* p) { FACET_LANES(ToFloat(p[i])); }
FACET_INLINE F32x16 LoadPartial(const float* p, int n) {
  FACET_LANES(i < n ? p[i] : 0.0f);
}
FACET_INLINE F32x16 LoadPartial(const BF16* p, int n) {
  FACET_LANES(i < n ? ToFloat(p[i]) : 0.0f);
}
FACET_INLINE void Store(F32x16 a, float* p) {
  std::memcpy(p, a.v, sizeof(a.v));
}
FACET_INLINE void StorePartial(F32x16 a, float* p, int n) {
  std::memcpy(p, a.v, sizeof(float) * n);
}
FACET_INLINE F32x16 operator+(F32x16 a, F32x16 b) {
  FACET_LANES(a.v[i] + b.v[i]);
}
FACET_INLINE F32x16 operator-(F32x16 a, F32x16 b) {
  FACET_LANES(a.v[i] - b.v[i]);
}
FACET_INLINE F32x16 operator*(F32x16 a, F32x16 b) {
  FACET_LANES(a.v[i] * b.v[i]);
}
FACET_INLINE F32x16 operator/(F32x16 a, F32x16 b) {
  FACET_LANES(a.v[i] / b.v[i]);
}
FACET_INLINE F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  FACET_LANES(__builtin_fmaf(a.v[i], b.v[i], c.v[i]));
}
FACET_INLINE F32x16 Min(F32x16 a, F32x16 b) {
  FACET_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
FACET_INLINE F32x16 Max(F32x16 a, F32x16 b) {
  FACET_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
FACET_INLINE F32x16 Abs(F32x16 a) { FACET_LANES(__builtin_fabsf(a.v[i])); }
FACET_INLINE F32x16 CopySign(F32x16 a, F32x16 s) {
  FACET_LANES(__builtin_copysignf(a.v[i], s.v[i]));
}
FACET_INLINE Mask16 Less(F32x16 a, F32x16 b) {
  Mask16 m;
  for (int i = 0; i < 16; ++i) m.v[i] = a.v[i] < b.v[i];
  return m;
}
FACET_INLINE F32x16 Select(Mask16 m, F32x16 yes, F32x16 no) {
  FACET_LANES(m.v[i] ? yes.v[i] : no.v[i]);
}
FACET_INLINE F32x16 Pow2(F32x16 n) {
  F32x16 r;
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits =
        static_cast<uint32_t>(static_cast<int32_t>(n.v[i]) + 127) << 23;
    std::memcpy(&r.v[i], &bits, sizeof(bits));
  }
  return r;
}
#undef FACET_LANES

#endif

// Lane l is added to l + 8, then l + 4, l + 2, l + 1: the one reduction tree of
// every sum in Facet.
FACET_INLINE float ReduceAdd(F32x16 a) {
#if defined(__AVX2__)
  const __m256 h = FoldHalves(a);
  const __m128 q =
      _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
#else
  float s[16];
  Store(a, s);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) s[i] = s[i] + s[i + width];
  }
  return s[0];
#endif
}

FACET_INLINE float ReduceMax(F32x16 a) {
#if defined(__AVX2__)
  const __m256 h = FoldHalvesMax(a);
  const __m128 q =
      _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
#else
  float m = a.v[0];
  for (int i = 1; i < 16; ++i) m = m > a.v[i] ? m : a.v[i];
  return m;
#endif
}

// exp as in kernels/base/math.h, NaNs apart.
FACET_INLINE F32x16 Exp(F32x16 x) {
  const Mask16 zero = Less(x, Set(math::kExpMin));
  const F32x16 c = Min(Max(x, Set(math::kExpMin)), Set(math::kExpMax));
  const F32x16 n = Fma(c, Set(math::kLog2E), Set(math::kRoundMagic)) -
                   Set(math::kRoundMagic);
  F32x16 r = Fma(n, Set(-math::kLn2High), c);
  r = Fma(n, Set(-math::kLn2Low), r);
  F32x16 p = Set(math::kExp[0]);
  for (int i = 1; i < 6; ++i) p = Fma(p, r, Set(math::kExp[i]));
  const F32x16 y = Fma(p, r * r, r) + Set(1.0f);
  return Select(zero, Zero(), y * Pow2(n));
}

FACET_INLINE F32x16 Tanh(F32x16 x) {
  const F32x16 a = Abs(x);
  const F32x16 z = x * x;
  F32x16 p = Set(math::kTanh[0]);
  for (int i = 1; i < 5; ++i) p = Fma(p, z, Set(math::kTanh[i]));
  const F32x16 small = Fma(p * z, x, x);
  const F32x16 e = Exp(Set(2.0f) * Min(a, Set(math::kTanhLarge)));
  const F32x16 large = CopySign(Set(1.0f) - Set(2.0f) / (e + Set(1.0f)), x);
  return Select(Less(a, Set(math::kTanhSmall)), small, large);
}

FACET_INLINE F32x16 GeluTanh(F32x16 u) {
  const F32x16 inner =
      Set(math::kGeluScale) * Fma(Set(math::kGeluCubic) * u, u * u, u);
  return Set(0.5f) * u * (Set(1.0f) + Tanh(inner));
}

FACET_INLINE F32x16 Softcap(F32x16 x, float cap) {
  return Set(cap) * Tanh(x / Set(cap));
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_BASE_SIMD_H_
