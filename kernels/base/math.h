// exp, tanh and their kin as polynomials of our own, so that every machine,
// instruction set and device computes the same bits. kernels/base/simd.h has
// the same formulas for 16 lanes; a test holds the two together.
//
// Coefficients: Cephes' expf and tanhf (S. Moshier), minimax in f32. Errors
// stay below 2 units in the last place.
#ifndef FACET_KERNELS_BASE_MATH_H_
#define FACET_KERNELS_BASE_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/base/host_device.h"

namespace facet {
namespace math {

inline constexpr float kExpMin = -87.0f;  // below: 0
inline constexpr float kExpMax = 88.0f;   // above: exp(88)
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;
// Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to
// even.
inline constexpr float kRoundMagic = 12582912.0f;
// One by one, for device code has no arrays of the host's.
inline constexpr float kExp0 = 1.9875691500e-4f, kExp1 = 1.3981999507e-3f,
                       kExp2 = 8.3334519073e-3f, kExp3 = 4.1665795894e-2f,
                       kExp4 = 1.6666665459e-1f, kExp5 = 5.0000001201e-1f;
inline constexpr float kExp[6] = {kExp0, kExp1, kExp2, kExp3, kExp4, kExp5};
inline constexpr float kTanhSmall = 0.625f;
inline constexpr float kTanhLarge = 10.0f;  // tanh is 1 in f32 from here on
inline constexpr float kTanh0 = -5.70498872745e-3f, kTanh1 = 2.06390887954e-2f,
                       kTanh2 = -5.37397155531e-2f, kTanh3 = 1.33314422036e-1f,
                       kTanh4 = -3.33332819422e-1f;
inline constexpr float kTanh[5] = {kTanh0, kTanh1, kTanh2, kTanh3, kTanh4};
inline constexpr float kGeluScale = 0.7978845608028654f;  // sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.044715f;

}  // namespace math

FACET_HOST_DEVICE inline float Exp(float x) {
  using namespace math;  // NOLINT: the constants above
  if (!(x >= kExpMin)) return x != x ? x : 0.0f;
  x = x < kExpMax ? x : kExpMax;
  const float n = std::fma(x, kLog2E, kRoundMagic) - kRoundMagic;
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float p = kExp0;
  p = std::fma(p, r, kExp1);
  p = std::fma(p, r, kExp2);
  p = std::fma(p, r, kExp3);
  p = std::fma(p, r, kExp4);
  p = std::fma(p, r, kExp5);
  const float y = std::fma(p, r * r, r) + 1.0f;
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127)
                        << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return y * scale;
}

FACET_HOST_DEVICE inline float Tanh(float x) {
  using namespace math;  // NOLINT
  const float a = std::fabs(x);
  if (a < kTanhSmall) {
    const float z = x * x;
    float p = kTanh0;
    p = std::fma(p, z, kTanh1);
    p = std::fma(p, z, kTanh2);
    p = std::fma(p, z, kTanh3);
    p = std::fma(p, z, kTanh4);
    return std::fma(p * z, x, x);
  }
  const float e = Exp(2.0f * (a < kTanhLarge ? a : kTanhLarge));
  return std::copysign(1.0f - 2.0f / (e + 1.0f), x);
}

// 0.5 u (1 + tanh(sqrt(2/pi) (u + 0.044715 u^3))), arXiv:1606.08415.
FACET_HOST_DEVICE inline float GeluTanh(float u) {
  using namespace math;  // NOLINT
  const float inner = kGeluScale * std::fma(kGeluCubic * u, u * u, u);
  return 0.5f * u * (1.0f + Tanh(inner));
}

// cap * tanh(x / cap)
FACET_HOST_DEVICE inline float Softcap(float x, float cap) {
  return cap * Tanh(x / cap);
}

}  // namespace facet

#endif  // FACET_KERNELS_BASE_MATH_H_
