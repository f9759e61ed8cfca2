#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/sampling/mass.h"

namespace facet {

bool operator==(const TokenLogit& a, const TokenLogit& b) {
  return a.token == b.token && a.logit == b.logit;
}
void PrintTo(const TokenLogit& value, std::ostream* out) {
  *out << value.token << ":" << value.logit;
}

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(int64_t count, uint32_t seed,
                                float deviation = 4.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  return x;
}

// The definition: sort everything.
std::vector<TokenLogit> SortedTop(const std::vector<float>& logits,
                                  int32_t first, int k) {
  std::vector<TokenLogit> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == logits[i]) {
      all.push_back({first + static_cast<int32_t>(i), logits[i]});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.logit > b.logit;
  });
  all.resize(std::min(all.size(), static_cast<size_t>(k)));
  return all;
}

// Every instruction set this machine has.
class SamplingTest : public testing::TestWithParam<SamplingVariant> {
 protected:
  SamplingTest() { SetActiveIsaForTest(GetParam().isa); }
  ~SamplingTest() override { SetActiveIsaForTest(BestIsa()); }
};

TEST_P(SamplingTest, PrimitivesHaveTheReferencesBits) {
  const SamplingVariant& reference = SamplingVariants().back();
  for (int64_t count : {1, 5, 15, 16, 17, 255, 256, 1000, 32768}) {
    const std::vector<float> x = RandomLogits(count, 1, 10.0f);
    const float max = reference.max(x.data(), count);
    ASSERT_EQ(GetParam().max(x.data(), count), max) << count;
    ASSERT_EQ(GetParam().sum_exp(x.data(), count, max),
              reference.sum_exp(x.data(), count, max))
        << count;
    for (float temperature : {0.1f, 0.7f, 1.0f, 2.0f}) {
      std::vector<float> want = x, got = x;
      if (count > 5) want[3] = got[3] = kNaN;
      reference.weigh(want.data(), count, max, temperature);
      GetParam().weigh(got.data(), count, max, temperature);
      ASSERT_EQ(got, want) << count << " at " << temperature;
      if (count > 4096) continue;
      ASSERT_EQ(GetParam().mass(got.data(), count),
                reference.mass(got.data(), count))
          << count << " at " << temperature;
    }
  }
  const std::vector<float> ones(4096, 1.0f);
  EXPECT_EQ(GetParam().mass(ones.data(), 4096), uint64_t{4096} << 40);
}

TEST_P(SamplingTest, TopLogitsAreTheHeadOfTheSortedVocabulary) {
  for (int64_t count : {1, 2, 255, 256, 257, 5000, 20000}) {
    for (int k : {1, 2, 20, 64, 300, 20000}) {
      const std::vector<float> logits = RandomLogits(count, count + k);
      ASSERT_EQ(TopLogits(logits, 1000, k), SortedTop(logits, 1000, k))
          << count << " " << k;
    }
  }
}

// Few distinct values, so every border is a tie.
TEST_P(SamplingTest, TiesGoToTheLowerToken) {
  std::mt19937 random(5);
  for (int64_t count : {10, 3000, 20000}) {
    std::vector<float> logits(count);
    for (float& v : logits) v = static_cast<float>(random() % 5) - 2.0f;
    for (int k : {1, 3, 64, 1000, 5000, 20000}) {
      ASSERT_EQ(TopLogits(logits, 7, k), SortedTop(logits, 7, k))
          << count << " " << k;
    }
  }
}

TEST_P(SamplingTest, ZerosOfBothSignsTie) {
  std::vector<float> logits(10000, -1.0f);
  logits[100] = -0.0f;
  logits[4000] = 0.0f;
  logits[9000] = -0.0f;
  for (int k : {1, 2, 3, 10000}) {
    const std::vector<TokenLogit> top = TopLogits(logits, 0, k);
    const std::vector<int32_t> want = {100, 4000, 9000};
    for (int i = 0; i < std::min(k, 3); ++i) EXPECT_EQ(top[i].token, want[i]);
  }
}

TEST_P(SamplingTest, NaNsAreNeverAmongTheTop) {
  std::vector<float> logits = RandomLogits(3000, 6);
  for (size_t i = 0; i < logits.size(); i += 3) logits[i] = kNaN;
  for (int k : {1, 64, 3000}) {
    EXPECT_EQ(TopLogits(logits, 0, k), SortedTop(logits, 0, k)) << k;
  }
  EXPECT_TRUE(TopLogits(std::vector<float>(300, kNaN), 0, 1).empty());
}

TEST_P(SamplingTest, MaskedTokensComeLast) {
  const std::vector<float> logits = {-kInfinity, 1.0f, -kInfinity, 2.0f};
  EXPECT_EQ(TopLogits(logits, 0, 4),
            (std::vector<TokenLogit>{
                {3, 2.0f}, {1, 1.0f}, {0, -kInfinity}, {2, -kInfinity}}));
}

TEST_P(SamplingTest, NothingIsTheTopOfNothing) {
  EXPECT_TRUE(TopLogits({}, 0, 5).empty());
  EXPECT_TRUE(TopLogits({1.0f, 2.0f}, 0, 0).empty());
}

// A vocabulary-parallel head: each rank gives its own best.
TEST_P(SamplingTest, MergedSlicesEqualTheWholeVocabulary) {
  std::vector<float> logits = RandomLogits(8192, 8);
  for (float& v : logits) v = std::round(v * 4);  // ties across slices
  for (int k : {1, 64, 5000}) {
    for (int slices : {1, 2, 3, 8}) {
      std::vector<std::vector<TokenLogit>> lists;
      for (int s = 0; s < slices; ++s) {
        const int begin = 8192 * s / slices, end = 8192 * (s + 1) / slices;
        lists.push_back(TopLogits(
            absl::MakeConstSpan(logits).subspan(begin, end - begin), begin, k));
      }
      EXPECT_EQ(MergeTopLogits(lists, k), TopLogits(logits, 0, k))
          << k << " of " << slices;
    }
  }
  EXPECT_TRUE(MergeTopLogits({}, 3).empty());
}

TEST_P(SamplingTest, LogSumExpIsThatOfTheWholeVocabulary) {
  for (float deviation : {0.1f, 4.0f, 20.0f}) {
    const std::vector<float> logits = RandomLogits(8 * 1000, 9, deviation);
    double max = *std::max_element(logits.begin(), logits.end()), sum = 0;
    for (float v : logits) sum += std::exp(v - max);
    std::vector<ExpSum> slices;
    for (int s = 0; s < 8; ++s) {
      slices.push_back(
          SumExp(absl::MakeConstSpan(logits).subspan(s * 1000, 1000)));
    }
    const double want = max + std::log(sum);
    // exp is good to 2 epsilons, lanes of 63 sums to 63 at most.
    EXPECT_NEAR(CombineExpSums(slices), want,
                80 * std::ldexp(1.0, -24) + std::fabs(want) * 1e-7);
  }
}

TEST_P(SamplingTest, EmptyAndMaskedSlicesAddNothing) {
  const ExpSum empty = SumExp({});
  EXPECT_EQ(empty.max, -kInfinity);
  EXPECT_EQ(empty.sum, 0.0f);
  const ExpSum masked = SumExp(std::vector<float>(20, -kInfinity));
  EXPECT_EQ(masked.sum, 0.0f);
  const ExpSum one = SumExp({3.0f});
  EXPECT_EQ(one.sum, 1.0f);
  EXPECT_EQ(CombineExpSums({empty, one, masked, empty}), 3.0f);
  EXPECT_EQ(CombineExpSums({empty, masked}), -kInfinity);
}

INSTANTIATE_TEST_SUITE_P(AllVariants, SamplingTest,
                         testing::ValuesIn(SamplingVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

std::vector<TokenLogit> Candidates(const std::vector<double>& probabilities) {
  std::vector<TokenLogit> candidates;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    candidates.push_back({static_cast<int32_t>(100 + i),
                          static_cast<float>(std::log(probabilities[i]))});
  }
  return candidates;
}

// How often each candidate is drawn over `draws` positions of one seed.
std::vector<int> Counts(const std::vector<TokenLogit>& candidates,
                        DrawOptions options, int draws) {
  std::vector<int> counts(candidates.size());
  for (int i = 0; i < draws; ++i) {
    options.position = i;
    ++counts[Draw(candidates, options) - 100];
  }
  return counts;
}

// Pearson's statistic; candidates that may not be drawn must not be.
double ChiSquare(const std::vector<int>& counts,
                 const std::vector<double>& weights) {
  const double draws = std::accumulate(counts.begin(), counts.end(), 0.0);
  const double mass = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = draws * weights[i] / mass;
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << i;
    } else {
      sum += std::pow(counts[i] - expected, 2) / expected;
    }
  }
  return sum;
}

const std::vector<double> kSix = {0.4, 0.25, 0.15, 0.1, 0.07, 0.03};
// 5 degrees of freedom: exceeded once in a million fair experiments.
constexpr double kChiSquareLimit = 35.9;

TEST(DrawTest, FollowsTheSoftmaxAtEveryTemperature) {
  for (float temperature : {0.5f, 1.0f, 3.0f}) {
    std::vector<double> weights;
    for (double p : kSix) weights.push_back(std::pow(p, 1 / temperature));
    for (uint64_t seed : {1ull, 2ull, 1ull << 40}) {
      DrawOptions options;
      options.temperature = temperature;
      options.seed = seed;
      EXPECT_LT(ChiSquare(Counts(Candidates(kSix), options, 100000), weights),
                kChiSquareLimit)
          << temperature << " seed " << seed;
    }
  }
}

// One draw each from many seeds: neighbouring requests are independent too.
TEST(DrawTest, FollowsTheSoftmaxAcrossSeedsAtOnePosition) {
  const std::vector<TokenLogit> candidates = Candidates(kSix);
  std::vector<int> counts(6);
  DrawOptions options;
  options.temperature = 1;
  options.position = 17;
  for (options.seed = 0; options.seed < 100000; ++options.seed) {
    ++counts[Draw(candidates, options) - 100];
  }
  EXPECT_LT(ChiSquare(counts, kSix), kChiSquareLimit);
}

TEST(DrawTest, TopKKeepsTheBestK) {
  DrawOptions options;
  options.temperature = 1;
  options.top_k = 3;
  EXPECT_LT(ChiSquare(Counts(Candidates(kSix), options, 50000),
                      {0.4, 0.25, 0.15, 0, 0, 0}),
            kChiSquareLimit);
  options.top_k = 1;
  EXPECT_EQ(Counts(Candidates(kSix), options, 1000)[0], 1000);
  options.top_k = 1000;
  EXPECT_LT(ChiSquare(Counts(Candidates(kSix), options, 50000), kSix),
            kChiSquareLimit);
}

TEST(DrawTest, TopPKeepsTheShortestPrefixThatReachesTheMass) {
  DrawOptions options;
  options.temperature = 1;
  options.top_p = 0.7f;  // 0.4 + 0.25 falls short
  EXPECT_LT(ChiSquare(Counts(Candidates(kSix), options, 50000),
                      {0.4, 0.25, 0.15, 0, 0, 0}),
            kChiSquareLimit);
  options.top_p = 0.6f;
  EXPECT_LT(ChiSquare(Counts(Candidates(kSix), options, 50000),
                      {0.4, 0.25, 0, 0, 0, 0}),
            kChiSquareLimit);
  options.top_p = 0.0f;  // the best one stays
  EXPECT_EQ(Counts(Candidates(kSix), options, 1000)[0], 1000);
}

TEST(DrawTest, TopPMeasuresMassWithinTheTopK) {
  DrawOptions options;
  options.temperature = 1;
  options.top_k = 2;
  options.top_p = 0.6f;  // 0.4 / 0.65 reaches it alone
  EXPECT_EQ(Counts(Candidates(kSix), options, 1000)[0], 1000);
}

TEST(DrawTest, MinPKeepsThoseNearTheBest) {
  DrawOptions options;
  options.temperature = 1;
  options.min_p = 0.2f;  // 0.08 of the mass
  EXPECT_LT(ChiSquare(Counts(Candidates(kSix), options, 50000),
                      {0.4, 0.25, 0.15, 0.1, 0, 0}),
            kChiSquareLimit);
  options.min_p = 1.0f;
  EXPECT_EQ(Counts(Candidates(kSix), options, 1000)[0], 1000);
}

TEST(DrawTest, MinPKeepsAllThatTieWithTheBest) {
  const std::vector<TokenLogit> tied = {{100, 1.0f}, {101, 1.0f}, {102, 0.5f}};
  DrawOptions options;
  options.temperature = 1;
  options.min_p = 1.0f;
  EXPECT_LT(ChiSquare(Counts(tied, options, 50000), {1, 1, 0}),
            kChiSquareLimit);
}

TEST(DrawTest, TemperatureZeroTakesTheBest) {
  DrawOptions options;
  EXPECT_EQ(Counts(Candidates(kSix), options, 100)[0], 100);
}

TEST(DrawTest, ATinyTemperatureTakesTheBestAndATieInHalves) {
  DrawOptions options;
  options.temperature = 1e-30f;
  EXPECT_EQ(Counts(Candidates(kSix), options, 1000)[0], 1000);
  const std::vector<TokenLogit> tied = {{100, 2.0f}, {101, 2.0f}, {102, 1.0f}};
  EXPECT_LT(ChiSquare(Counts(tied, options, 50000), {1, 1, 0}),
            kChiSquareLimit);
}

TEST(DrawTest, MaskedCandidatesAreNeverDrawn) {
  std::vector<TokenLogit> candidates = Candidates(kSix);
  for (int i = 6; i < 20; ++i) candidates.push_back({100 + i, -kInfinity});
  DrawOptions options;
  options.temperature = 5;
  const std::vector<int> counts = Counts(candidates, options, 50000);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.begin() + 6, 0), 50000);
  EXPECT_EQ(Draw({{7, -kInfinity}, {8, -kInfinity}}, options), 7);
}

TEST(DrawTest, DependsOnSeedAndPositionAlone) {
  const std::vector<TokenLogit> candidates = Candidates(kSix);
  DrawOptions options;
  options.temperature = 1;
  options.seed = 42;
  options.position = 5;
  const int32_t token = Draw(candidates, options);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Draw(candidates, options), token);
  // Unreachable candidates change nothing.
  std::vector<TokenLogit> longer = candidates;
  longer.push_back({200, -kInfinity});
  EXPECT_EQ(Draw(longer, options), token);
}

TEST(DrawTest, EveryInstructionSetDrawsTheSameToken) {
  const std::vector<float> logits = RandomLogits(5000, 12);
  const std::vector<TokenLogit> candidates = TopLogits(logits, 0, 5000);
  DrawOptions options;
  options.temperature = 1.3f;
  options.top_p = 0.98f;
  std::set<std::vector<int32_t>> answers;
  for (Isa isa : SupportedIsas()) {
    SetActiveIsaForTest(isa);
    std::vector<int32_t> tokens;
    for (options.position = 0; options.position < 200; ++options.position) {
      tokens.push_back(Draw(candidates, options));
    }
    answers.insert(tokens);
  }
  SetActiveIsaForTest(BestIsa());
  EXPECT_EQ(answers.size(), 1u);
}

// What stands behind the head may be drawn, or not: it says which.
TEST(DrawFromHeadTest, AgreesWithDrawOrPasses) {
  const std::vector<float> logits = RandomLogits(3000, 14);
  const std::vector<TokenLogit> all = TopLogits(logits, 0, 3000);
  DrawOptions options;
  options.seed = 3;
  int passed = 0, drawn = 0;
  for (float temperature : {0.1f, 1.0f, 3.0f}) {
    options.temperature = temperature;
    uint64_t total = 0;
    std::vector<float> weights = logits;
    ActiveSamplingVariant().weigh(weights.data(), 3000, all[0].logit,
                                  temperature);
    for (float weight : weights) total += ToMass(weight);
    for (float top_p : {0.3f, 0.9f, 1.0f}) {
      for (float min_p : {0.0f, 0.1f, 1e-4f}) {
        options.top_p = top_p;
        options.min_p = min_p;
        for (options.position = 0; options.position < 20; ++options.position) {
          const auto token = DrawFromHead(
              absl::MakeConstSpan(all).subspan(0, 50), total, options);
          ++(token.has_value() ? drawn : passed);
          if (token.has_value()) {
            ASSERT_EQ(*token, Draw(all, options));
          }
        }
      }
    }
  }
  EXPECT_GT(passed, 50);
  EXPECT_GT(drawn, 50);
}

TEST(MassTest, SharesRoundUpAndPointsStayInside) {
  EXPECT_EQ(ShareOf(1000, 0.5f), 500u);
  EXPECT_EQ(ShareOf(1001, 0.5f), 501u);
  EXPECT_EQ(ShareOf(~uint64_t{0}, 1.0f), ~uint64_t{0});
  EXPECT_EQ(ShareOf(7, 0.0f), 0u);
  EXPECT_EQ(PointIn(10, 0), 0u);
  EXPECT_EQ(PointIn(10, ~uint64_t{0}), 9u);
  EXPECT_EQ(ToMass(1.0f), kMassOfBest);
  EXPECT_EQ(ToMass(0x1p-40f), 1u);
  EXPECT_EQ(ToMass(0x1p-42f), 0u);
}

TEST(RandomBitsAtTest, AreTheFirstTwoWordsOfPhilox) {
  EXPECT_EQ(RandomBitsAt(0, 0), 0x6627e8d5e169c58du);
}

TEST(RandomBitsAtTest, AreUniform) {
  std::vector<int> counts(100);
  for (int64_t position = 0; position < 1000000; ++position) {
    ++counts[PointIn(100, RandomBitsAt(99, position))];
  }
  // 99 degrees of freedom: exceeded once in a million fair experiments.
  EXPECT_LT(ChiSquare(counts, std::vector<double>(100, 1)), 177.0);
}

}  // namespace
}  // namespace facet
