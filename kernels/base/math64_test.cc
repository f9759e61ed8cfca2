#include "kernels/base/math64.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(Math64Test, SineAndCosineAreWithinTwoUnitsOfRoundingUpTo2To22) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-30, 22);
  for (int i = 0; i < 1000000; ++i) {
    const double sign = i % 2 == 0 ? 1 : -1;
    const double x = sign * std::exp2(exponent(random));
    const SinCos64 got = SinCos(x);
    ASSERT_NEAR(got.sin, std::sin(x), std::ldexp(1.0, -51)) << x;
    ASSERT_NEAR(got.cos, std::cos(x), std::ldexp(1.0, -51)) << x;
  }
}

// Where sine or cosine vanishes, the reduction has to keep relative accuracy.
TEST(Math64Test, SineAndCosineStayAccurateBesideTheirZeros) {
  for (int n = 0; n < 2000000; n += 37) {
    const double x = n * M_PI_2;
    const SinCos64 got = SinCos(x);
    const double want_sin = std::sin(x), want_cos = std::cos(x);
    const double small = std::min(std::fabs(want_sin), std::fabs(want_cos));
    const double error = std::fabs(want_sin) < std::fabs(want_cos)
                             ? std::fabs(got.sin - want_sin)
                             : std::fabs(got.cos - want_cos);
    ASSERT_LE(error, small * 1e-5 + 1e-26) << n;
  }
}

TEST(Math64Test, SineAndCosineOfZeroAreExact) {
  EXPECT_EQ(SinCos(0).sin, 0.0);
  EXPECT_EQ(SinCos(0).cos, 1.0);
}

TEST(Math64Test, ExpIsRelativelyAccurate) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> value(-700, 700);
  for (int i = 0; i < 1000000; ++i) {
    const double x = i % 2 == 0 ? value(random) : value(random) / 1000;
    const double want = std::exp(x);
    ASSERT_NEAR(Exp64(x), want, std::ldexp(want, -50)) << x;
  }
  EXPECT_EQ(Exp64(0), 1.0);
}

TEST(Math64Test, LogIsRelativelyAccurateAlsoBesideOne) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-1000, 1000);
  for (int i = 0; i < 1000000; ++i) {
    const double e = exponent(random);
    const double x = i % 2 == 0 ? std::exp2(e) : 1 + e * 1e-6;
    const double want = std::log(x);
    ASSERT_NEAR(Log64(x), want, std::ldexp(std::fabs(want), -51)) << x;
  }
  EXPECT_EQ(Log64(1), 0.0);
}

}  // namespace
}  // namespace facet
