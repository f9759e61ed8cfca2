#include "kernels/softcap/softcap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

std::vector<float> RandomLogits(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 40.0f);
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  return x;
}

class SoftcapTest : public testing::TestWithParam<SoftcapVariant> {};

TEST_P(SoftcapTest, HasTheReferencesBitsAtEveryLength) {
  for (int64_t count : {0, 1, 15, 16, 17, 1000, 4099}) {
    for (float cap : {30.0f, 50.0f, 0.7f}) {
      std::vector<float> want = RandomLogits(count, 1), got = want;
      SoftcapVariants().back().run(want.data(), count, cap);
      GetParam().run(got.data(), count, cap);
      ASSERT_EQ(got, want) << count << " cap " << cap;
    }
  }
}

TEST_P(SoftcapTest, StaysWithinRoundingOfTheFormulaInF64) {
  const std::vector<float> x = RandomLogits(10000, 2);
  std::vector<float> y = x;
  GetParam().run(y.data(), 10000, 30.0f);
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = 30.0 * std::tanh(x[i] / 30.0);
    EXPECT_NEAR(y[i], want, 4 * std::ldexp(1.0, -23) * std::fabs(want));
  }
}

// Greedy choice may be made before or after the cap.
TEST_P(SoftcapTest, KeepsTheOrderUpToTies) {
  std::vector<float> x = RandomLogits(10000, 3);
  std::sort(x.begin(), x.end());
  GetParam().run(x.data(), 10000, 30.0f);
  EXPECT_TRUE(std::is_sorted(x.begin(), x.end()));
}

TEST_P(SoftcapTest, InfinityBecomesTheCap) {
  std::vector<float> x = {std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), 3e38f};
  GetParam().run(x.data(), 3, 30.0f);
  EXPECT_EQ(x, (std::vector<float>{30.0f, -30.0f, 30.0f}));
}

INSTANTIATE_TEST_SUITE_P(AllVariants, SoftcapTest,
                         testing::ValuesIn(SoftcapVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(SoftcapDispatchTest, ThreadsChangeNoBit) {
  std::vector<float> one = RandomLogits(100001, 4), three = one;
  ThreadPool one_thread(1), three_threads(3);
  SoftcapInPlace(absl::MakeSpan(one), 30.0f, one_thread);
  SoftcapInPlace(absl::MakeSpan(three), 30.0f, three_threads);
  EXPECT_EQ(one, three);
}

}  // namespace
}  // namespace facet
