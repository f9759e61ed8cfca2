#include "kernels/base/math.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace facet {
namespace {

// The distance in units of the last place of the f32 nearest to `want`.
double UnitsInLastPlace(float got, double want) {
  const float near = static_cast<float>(want);
  const double unit =
      std::fabs(std::nextafter(near, 2 * near) - static_cast<double>(near));
  return std::fabs(got - want) / unit;
}

// The worst over an even walk through [begin, end].
template <typename Got, typename Want>
double WorstUlp(double begin, double end, Got got, Want want) {
  constexpr int kSteps = 400000;
  double worst = 0;
  for (int i = 0; i <= kSteps; ++i) {
    const float x = static_cast<float>(begin + (end - begin) * i / kSteps);
    if (x == 0) continue;
    worst = std::max(worst, UnitsInLastPlace(got(x), want(double{x})));
  }
  return worst;
}

double TrueExp(double x) { return std::exp(x); }
double TrueTanh(double x) { return std::tanh(x); }

TEST(MathTest, ExpIsWithinTwoUnitsInTheLastPlace) {
  EXPECT_LT(WorstUlp(-87.0, 88.0, &Exp, &TrueExp), 2.0);
  EXPECT_LT(WorstUlp(-1.0, 1.0, &Exp, &TrueExp), 2.0);
}

TEST(MathTest, TanhIsWithinTwoUnitsInTheLastPlace) {
  EXPECT_LT(WorstUlp(-12.0, 12.0, &Tanh, &TrueTanh), 2.0);
  EXPECT_LT(WorstUlp(-0.7, 0.7, &Tanh, &TrueTanh), 2.0);
  EXPECT_LT(WorstUlp(-1e-20, 1e-20, &Tanh, &TrueTanh), 2.0);
}

TEST(MathTest, ExpSaturatesAtBothEnds) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(-kInfinity), 0.0f);
  EXPECT_EQ(Exp(-87.5f), 0.0f);
  EXPECT_GT(Exp(-87.0f), 0.0f);
  EXPECT_EQ(Exp(kInfinity), Exp(88.0f));
  EXPECT_EQ(Exp(1000.0f), Exp(88.0f));
  EXPECT_TRUE(std::isnan(Exp(std::nanf(""))));
}

TEST(MathTest, TanhIsOddAndEndsAtOne) {
  for (float x : {0.0f, 1e-30f, 0.1f, 0.625f, 0.7f, 3.0f, 9.9f, 10.0f, 1e30f}) {
    EXPECT_EQ(Tanh(-x), -Tanh(x)) << x;
  }
  EXPECT_EQ(Tanh(10.0f), 1.0f);
  EXPECT_EQ(Tanh(std::numeric_limits<float>::infinity()), 1.0f);
}

// Softmax, routing and greedy choice rely on order being kept.
TEST(MathTest, ExpAndTanhNeverFall) {
  float exp_before = 0, tanh_before = -1;
  for (int i = -1100000; i <= 1100000; ++i) {
    const float x = i * 1e-5f;
    const float e = Exp(x), t = Tanh(x);
    ASSERT_GE(e, exp_before) << x;
    ASSERT_GE(t, tanh_before) << x;
    exp_before = e;
    tanh_before = t;
  }
}

// 1 + tanh cancels for negative u, so the error counts against u itself.
TEST(MathTest, GeluTanhIsWithinThreeEpsilonsOfItsArgument) {
  for (int i = -1000000; i <= 1000000; ++i) {
    const float u = i * 1e-5f;
    const double cube = double{u} * u * u;
    const double inner = std::sqrt(2 / M_PI) * (u + 0.044715 * cube);
    const double want = 0.5 * u * (1 + std::tanh(inner));
    ASSERT_NEAR(GeluTanh(u), want, 3 * std::ldexp(std::fabs(u), -23)) << u;
  }
}

TEST(MathTest, SoftcapIsWithinThreeUnitsInTheLastPlace) {
  EXPECT_LT(WorstUlp(
                -200.0, 200.0, [](float x) { return Softcap(x, 30.0f); },
                [](double x) { return 30 * std::tanh(x / 30); }),
            3.0);
}

}  // namespace
}  // namespace facet
