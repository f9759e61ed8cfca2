#include "kernels/base/math64.h"

#include <cstdint>
#include <cstring>

namespace facet {
namespace {

// Adding and taking away 1.5 * 2^52 rounds to the nearest integer.
constexpr double kRoundMagic = 6755399441055744.0;

constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
// pi / 2 in three parts; the first two have 30 bits, so their products with an
// integer of up to 23 bits are exact.
constexpr double kHalfPi[3] = {0x1.921fb54p+0, 0x1.10b46118p-30,
                               0x1.313198a2e037p-61};

constexpr double kOneOverLn2 = 0x1.71547652b82fep+0;
// ln 2 in two parts, the first of 40 bits.
constexpr double kLn2[2] = {0x1.62e42fefa2p-1, 0x1.9ef35793c7673p-41};
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

// sum_i (-1)^i z^i / (first + 2 i)!, from which sin and cos are made.
constexpr double kSine[] = {
    1.0,          -1.0 / 6,        1.0 / 120,        -1.0 / 5040,
    1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000};
constexpr double kCosine[] = {1.0,
                              -1.0 / 2,
                              1.0 / 24,
                              -1.0 / 720,
                              1.0 / 40320,
                              -1.0 / 3628800,
                              1.0 / 479001600,
                              -1.0 / 87178291200,
                              1.0 / 20922789888000};

template <int kTerms>
double Polynomial(const double (&coefficients)[kTerms], double z) {
  double sum = coefficients[kTerms - 1];
  for (int i = kTerms - 2; i >= 0; --i) sum = sum * z + coefficients[i];
  return sum;
}

double PowerOfTwo(int64_t exponent) {
  const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

SinCos64 SinCos(double x) {
  const double n = (x * kTwoOverPi + kRoundMagic) - kRoundMagic;
  const double r = ((x - n * kHalfPi[0]) - n * kHalfPi[1]) - n * kHalfPi[2];
  const double z = r * r;
  const double s = r * Polynomial(kSine, z);
  const double c = Polynomial(kCosine, z);
  switch (static_cast<int64_t>(n) & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
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
