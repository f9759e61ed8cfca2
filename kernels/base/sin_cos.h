// The sine behind kernels/base/math64.h, for code that a device compiles too.
#ifndef FACET_KERNELS_BASE_SIN_COS_H_
#define FACET_KERNELS_BASE_SIN_COS_H_

#include <cstdint>

#include "kernels/base/host_device.h"

namespace facet {

// Within 2^-51 of the true values. REQUIRES: |x| <= 2^22.
FACET_HOST_DEVICE inline void InlineSinCos(double x, double* sin, double* cos) {
  // Adding and taking away 1.5 * 2^52 rounds to the nearest integer.
  constexpr double kRoundMagic = 6755399441055744.0;
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  const double n = (x * kTwoOverPi + kRoundMagic) - kRoundMagic;
  // pi / 2 in three parts; the first two have 30 bits, so their products with
  // an integer of up to 23 bits are exact.
  const double r = ((x - n * 0x1.921fb54p+0) - n * 0x1.10b46118p-30) -
                   n * 0x1.313198a2e037p-61;
  const double z = r * r;
  // sum_i (-1)^i z^i / (first + 2 i)!
  double s = -1.0 / 1307674368000;
  s = s * z + 1.0 / 6227020800;
  s = s * z + -1.0 / 39916800;
  s = s * z + 1.0 / 362880;
  s = s * z + -1.0 / 5040;
  s = s * z + 1.0 / 120;
  s = s * z + -1.0 / 6;
  s = s * z + 1.0;
  s = r * s;
  double c = 1.0 / 20922789888000;
  c = c * z + -1.0 / 87178291200;
  c = c * z + 1.0 / 479001600;
  c = c * z + -1.0 / 3628800;
  c = c * z + 1.0 / 40320;
  c = c * z + -1.0 / 720;
  c = c * z + 1.0 / 24;
  c = c * z + -1.0 / 2;
  c = c * z + 1.0;
  switch (static_cast<int64_t>(n) & 3) {
    case 0:
      *sin = s, *cos = c;
      return;
    case 1:
      *sin = c, *cos = -s;
      return;
    case 2:
      *sin = -s, *cos = -c;
      return;
    default:
      *sin = -c, *cos = s;
      return;
  }
}

}  // namespace facet

#endif  // FACET_KERNELS_BASE_SIN_COS_H_
