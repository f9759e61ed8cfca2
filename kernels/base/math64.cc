#include "kernels/base/math64.h"

#include <cstdint>
#include <cstring>

#include "kernels/base/sin_cos.h"

namespace facet {
namespace {

// Adding and taking away 1.5 * 2^52 rounds to the nearest integer.
constexpr double kRoundMagic = 6755399441055744.0;

constexpr double kOneOverLn2 = 0x1.71547652b82fep+0;
// ln 2 in two parts, the first of 40 bits.
constexpr double kLn2[2] = {0x1.62e42fefa2p-1, 0x1.9ef35793c7673p-41};
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

double PowerOfTwo(int64_t exponent) {
  const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

SinCos64 SinCos(double x) {
  SinCos64 value;
  InlineSinCos(x, &value.sin, &value.cos);
  return value;
}

double Exp64(double x) {
  const double n = (x * kOneOverLn2 + kRoundMagic) - kRoundMagic;
  const double r = (x - n * kLn2[0]) - n * kLn2[1];
  // The Taylor series up to r^14 / 14!.
  double sum = 1.0;
  for (int i = 14; i > 0; --i) sum = 1.0 + sum * r / i;
  return sum * PowerOfTwo(static_cast<int64_t>(n));
}

double Log64(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  int64_t exponent = static_cast<int64_t>(bits >> 52) - 1022;
  double m;  // in [1/2, 1)
  bits = (bits & 0x000fffffffffffffu) | (uint64_t{1022} << 52);
  std::memcpy(&m, &bits, sizeof(m));
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  // log m = 2 artanh f.
  const double f = (m - 1) / (m + 1);
  const double z = f * f;
  double sum = 1.0 / 23;
  for (int i = 21; i > 0; i -= 2) sum = 1.0 / i + sum * z;
  const double e = static_cast<double>(exponent);
  return e * kLn2[0] + (2 * f * sum + e * kLn2[1]);
}

}  // namespace facet
