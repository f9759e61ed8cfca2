#include "kernels/rope/rope.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

struct Problem {
  Problem(int64_t tokens, int heads, int head_dim, int rotated_pairs,
          uint32_t seed)
      : tokens(tokens),
        heads(heads),
        head_dim(head_dim),
        rotated_pairs(rotated_pairs),
        stride(int64_t{heads} * head_dim + 3),
        x(tokens * stride),
        cos(tokens * rotated_pairs),
        sin(tokens * rotated_pairs) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    for (size_t i = 0; i < cos.size(); ++i) {
      const float angle = normal(random);
      cos[i] = std::cos(angle);
      sin[i] = std::sin(angle);
    }
  }

  RopeArgs Args(std::vector<float>& y) const {
    y = x;
    RopeArgs args;
    args.tokens = tokens;
    args.heads = heads;
    args.head_dim = head_dim;
    args.rotated_pairs = rotated_pairs;
    args.cos = cos.data();
    args.sin = sin.data();
    args.x = y.data();
    args.token_stride = stride;
    return args;
  }

  int64_t tokens;
  int heads, head_dim, rotated_pairs;
  int64_t stride;
  std::vector<float> x, cos, sin;
};

class RopeTest : public testing::TestWithParam<RopeVariant> {};

TEST_P(RopeTest, HasTheReferencesBitsOnEveryShape) {
  uint32_t seed = 0;
  for (int head_dim : {2, 16, 24, 64, 256, 512}) {
    for (int pairs : {0, 1, head_dim / 8, head_dim / 2}) {
      for (int heads : {1, 3, 8}) {
        Problem problem(5, heads, head_dim, pairs, ++seed);
        std::vector<float> want, got;
        RopeVariants().back().run(problem.Args(want), 0, 5);
        GetParam().run(problem.Args(got), 0, 5);
        ASSERT_EQ(got, want) << head_dim << " " << pairs << " " << heads;
      }
    }
  }
}

TEST_P(RopeTest, RotatesPairsOfBothHalvesAndLeavesTheRestAlone) {
  Problem problem(3, 2, 64, 8, 5);
  std::vector<float> y;
  GetParam().run(problem.Args(y), 0, 3);
  std::vector<float> want = problem.x;
  for (int64_t t = 0; t < 3; ++t) {
    for (int h = 0; h < 2; ++h) {
      float* out = want.data() + t * problem.stride + h * 64;
      const float* in = problem.x.data() + t * problem.stride + h * 64;
      for (int i = 0; i < 8; ++i) {
        const double c = problem.cos[t * 8 + i], s = problem.sin[t * 8 + i];
        out[i] = static_cast<float>(in[i] * c - in[i + 32] * s);
        out[i + 32] = static_cast<float>(in[i + 32] * c + in[i] * s);
      }
    }
  }
  for (size_t i = 0; i < want.size(); ++i) {
    // Two roundings of terms no larger than the longest pair, about 5.
    ASSERT_NEAR(y[i], want[i], 10 * std::ldexp(1.0, -23)) << i;
    if (i % problem.stride % 64 % 32 >= 8) {
      ASSERT_EQ(y[i], problem.x[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllVariants, RopeTest,
                         testing::ValuesIn(RopeVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(RopeDispatchTest, ThreadsChangeNoBit) {
  Problem problem(100, 8, 256, 128, 3);
  std::vector<float> one, three;
  ThreadPool one_thread(1), three_threads(3);
  Rope(problem.Args(one), one_thread);
  Rope(problem.Args(three), three_threads);
  EXPECT_EQ(one, three);
}

TEST(RopeFrequenciesTest, FollowTheF32FormulaOfTheReference) {
  for (double theta : {1e4, 1e6}) {
    for (int head_dim : {64, 160, 256, 512}) {
      const std::vector<float> f =
          RopeFrequencies(theta, head_dim, head_dim / 2, 1.0);
      ASSERT_EQ(f.size(), static_cast<size_t>(head_dim / 2));
      EXPECT_EQ(f[0], 1.0f);
      for (int i = 0; i < head_dim / 2; ++i) {
        const float exponent = static_cast<float>(2 * i) / head_dim;
        const float power =
            static_cast<float>(std::pow(theta, double{exponent}));
        EXPECT_EQ(f[i], 1.0f / power) << theta << " " << head_dim << " " << i;
      }
    }
  }
}

TEST(RopeFrequenciesTest, FactorDividesAll) {
  const std::vector<float> plain = RopeFrequencies(1e6, 512, 64, 1.0);
  const std::vector<float> slow = RopeFrequencies(1e6, 512, 64, 8.0);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(slow[i], plain[i] / 8.0f);
}

TEST(RopeTableTest, HoldsSineAndCosineOfTheRoundedAngleRoundedOnce) {
  const std::vector<float> frequencies = RopeFrequencies(1e4, 256, 128, 1.0);
  const std::vector<int64_t> positions = {
      0, 1, 2, 511, 4095, 131071, 262143, 1000003, 77777, 2097151};
  std::vector<float> cos(positions.size() * 128), sin(cos.size());
  ThreadPool pool(3);
  RopeTable(positions, frequencies, cos.data(), sin.data(), pool);
  for (size_t t = 0; t < positions.size(); ++t) {
    for (int i = 0; i < 128; ++i) {
      const float angle = static_cast<float>(positions[t]) * frequencies[i];
      EXPECT_EQ(cos[t * 128 + i], static_cast<float>(std::cos(double{angle})));
      EXPECT_EQ(sin[t * 128 + i], static_cast<float>(std::sin(double{angle})));
    }
  }
}

TEST(RopeTableTest, RowBitsDoNotDependOnTheOtherPositions) {
  const std::vector<float> frequencies = RopeFrequencies(1e4, 64, 32, 1.0);
  const std::vector<int64_t> all = {5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<float> cos(all.size() * 32), sin(cos.size());
  ThreadPool pool(2);
  RopeTable(all, frequencies, cos.data(), sin.data(), pool);
  const std::vector<int64_t> one = {9};
  std::vector<float> cos_one(32), sin_one(32);
  RopeTable(one, frequencies, cos_one.data(), sin_one.data(), pool);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(cos_one[i], cos[4 * 32 + i]);
    EXPECT_EQ(sin_one[i], sin[4 * 32 + i]);
  }
}

}  // namespace
}  // namespace facet
