#include "kernels/router/router.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

struct Answer {
  std::vector<float> probabilities;
  std::vector<int32_t> chosen;
  std::vector<float> weights;
};

struct Problem {
  Problem(int64_t tokens, int experts, int k, uint32_t seed)
      : tokens(tokens),
        experts(experts),
        k(k),
        logits(tokens * experts),
        scale(experts) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 3.0f);
    for (float& v : logits) v = normal(random);
    for (float& v : scale) v = 1.0f + 0.1f * normal(random);
  }

  RouterArgs Args(Answer& answer) const {
    answer.probabilities.assign(tokens * experts, -1.0f);
    answer.chosen.assign(tokens * k, -1);
    answer.weights.assign(tokens * k, -1.0f);
    RouterArgs args;
    args.tokens = tokens;
    args.experts = experts;
    args.experts_per_token = k;
    args.logits = logits.data();
    args.per_expert_scale = scale.data();
    args.probabilities = answer.probabilities.data();
    args.chosen = answer.chosen.data();
    args.weights = answer.weights.data();
    return args;
  }

  Answer Run(const RouterVariant& variant) const {
    Answer answer;
    variant.run(Args(answer), 0, tokens);
    return answer;
  }

  int64_t tokens;
  int experts, k;
  std::vector<float> logits, scale;
};

class RouterTest : public testing::TestWithParam<RouterVariant> {};

TEST_P(RouterTest, HasTheReferencesBitsForEveryExpertCount) {
  uint32_t seed = 0;
  for (int experts : {1, 2, 8, 15, 16, 17, 100, 128, 256}) {
    for (int k : {1, 2, 8}) {
      if (k > experts) continue;
      Problem problem(7, experts, k, ++seed);
      const Answer want = problem.Run(RouterVariants().back());
      const Answer got = problem.Run(GetParam());
      ASSERT_EQ(got.probabilities, want.probabilities) << experts;
      ASSERT_EQ(got.chosen, want.chosen) << experts << " " << k;
      ASSERT_EQ(got.weights, want.weights) << experts << " " << k;
    }
  }
}

TEST_P(RouterTest, ChoosesTheLargestAndRenormalisesBeforeTheScale) {
  Problem problem(50, 128, 8, 9);
  const Answer answer = problem.Run(GetParam());
  for (int64_t t = 0; t < 50; ++t) {
    const float* logits = problem.logits.data() + t * 128;
    std::vector<int32_t> order(128);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](int a, int b) { return logits[a] > logits[b]; });
    double chosen_sum = 0, sum = 0;
    for (int i = 0; i < 128; ++i) {
      sum += std::exp(double{logits[i]});
      if (i < 8) chosen_sum += std::exp(double{logits[order[i]]});
    }
    for (int i = 0; i < 8; ++i) {
      const int32_t expert = answer.chosen[t * 8 + i];
      EXPECT_EQ(expert, order[i]);
      const double e = std::exp(double{logits[expert]});
      EXPECT_NEAR(answer.probabilities[t * 128 + expert], e / sum, 1e-6);
      EXPECT_NEAR(answer.weights[t * 8 + i],
                  e / chosen_sum * problem.scale[expert], 3e-6);
    }
  }
}

TEST_P(RouterTest, TiesGoToTheLowerExpert) {
  Problem problem(1, 40, 3, 1);
  std::fill(problem.logits.begin(), problem.logits.end(), 0.5f);
  EXPECT_EQ(problem.Run(GetParam()).chosen, (std::vector<int32_t>{0, 1, 2}));
  problem.logits[7] = problem.logits[33] = 0.75f;
  EXPECT_EQ(problem.Run(GetParam()).chosen, (std::vector<int32_t>{7, 33, 0}));
  problem.logits[20] = 1.0f;
  EXPECT_EQ(problem.Run(GetParam()).chosen, (std::vector<int32_t>{20, 7, 33}));
}

TEST_P(RouterTest, LogitsFarApartLeaveNoNaN) {
  Problem problem(1, 20, 2, 1);
  std::fill(problem.logits.begin(), problem.logits.end(), -1e30f);
  problem.logits[4] = 1e30f;
  const Answer answer = problem.Run(GetParam());
  EXPECT_EQ(answer.chosen, (std::vector<int32_t>{4, 0}));
  EXPECT_EQ(answer.weights, (std::vector<float>{problem.scale[4], 0}));
}

TEST_P(RouterTest, RowBitsDoNotDependOnBatchSize) {
  Problem problem(33, 128, 8, 2);
  const Answer all = problem.Run(GetParam());
  for (int64_t row : {0, 1, 32}) {
    Problem one = problem;
    one.tokens = 1;
    one.logits.assign(problem.logits.begin() + row * 128,
                      problem.logits.begin() + (row + 1) * 128);
    const Answer single = one.Run(GetParam());
    EXPECT_TRUE(std::equal(single.chosen.begin(), single.chosen.end(),
                           all.chosen.begin() + row * 8));
    EXPECT_TRUE(std::equal(single.weights.begin(), single.weights.end(),
                           all.weights.begin() + row * 8));
  }
}

INSTANTIATE_TEST_SUITE_P(AllVariants, RouterTest,
                         testing::ValuesIn(RouterVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(RouterDispatchTest, ThreadsChangeNoBit) {
  Problem problem(300, 128, 8, 3);
  Answer one, three;
  ThreadPool one_thread(1), three_threads(3);
  Router(problem.Args(one), one_thread);
  Router(problem.Args(three), three_threads);
  EXPECT_EQ(one.probabilities, three.probabilities);
  EXPECT_EQ(one.chosen, three.chosen);
  EXPECT_EQ(one.weights, three.weights);
}

}  // namespace
}  // namespace facet
