#include "kernels/machine_limits/machine_limits.h"

#include <cmath>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

std::vector<BF16> RandomWeights(int64_t count) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<BF16> weights(count);
  for (BF16& w : weights) w = ToBF16(uniform(random));
  return weights;
}

class LimitVariantTest : public testing::TestWithParam<LimitVariant> {};

TEST_P(LimitVariantTest, ReadsEveryByteOnce) {
  std::vector<BF16> weights = RandomWeights(5 * kLimitRowWeights);
  const auto* data = reinterpret_cast<const uint8_t*>(weights.data());
  const auto bytes = static_cast<int64_t>(weights.size() * sizeof(BF16));
  uint32_t expected = 0;
  for (size_t i = 0; i < weights.size(); i += 2) {
    expected += weights[i].bits + (uint32_t{weights[i + 1].bits} << 16);
  }
  EXPECT_EQ(GetParam().read(data, bytes), expected);
  EXPECT_EQ(GetParam().read_prefetched(data, bytes), expected);
}

TEST_P(LimitVariantTest, MatvecIsTheProductForEveryRowCount) {
  constexpr int64_t kRows = 13;  // no multiple of any row count but 1
  const std::vector<BF16> w = RandomWeights(kRows * kLimitRowWeights);
  std::vector<float> x(kLimitRowWeights);
  for (int k = 0; k < kLimitRowWeights; ++k) x[k] = 0.25f + k % 7;
  for (const auto matvec : GetParam().matvec) {
    std::vector<float> y(kRows);
    matvec(w.data(), kRows, x.data(), y.data());
    for (int64_t r = 0; r < kRows; ++r) {
      double sum = 0, magnitude = 0;
      for (int k = 0; k < kLimitRowWeights; ++k) {
        const double term = double{ToFloat(w[r * kLimitRowWeights + k])} * x[k];
        sum += term;
        magnitude += std::fabs(term);
      }
      // One rounding of half an epsilon per element, at most.
      EXPECT_NEAR(y[r], sum, kLimitRowWeights * 6e-8 * magnitude) << r;
    }
  }
}

TEST_P(LimitVariantTest, RegisterChainsReachTheirFixedPoint) {
  // Every chain converges to 1 in every lane; flops per round count both.
  const int64_t lanes_of_all_chains = GetParam().fma_flops_per_round / 2;
  EXPECT_EQ(GetParam().fma(1000), static_cast<float>(lanes_of_all_chains));
  if (GetParam().bf16_dot == nullptr) return;
  // Chain j starts from j; ten rounds add 20.
  const int64_t chains = 12;
  const int64_t lanes = GetParam().bf16_dot_flops_per_round / 4 / chains;
  const int64_t starts = chains * (chains - 1) / 2;
  EXPECT_EQ(GetParam().bf16_dot(10),
            static_cast<float>(lanes * (starts + chains * 20)));
}

INSTANTIATE_TEST_SUITE_P(AllVariants, LimitVariantTest,
                         testing::ValuesIn(LimitVariants().begin(),
                                           LimitVariants().end()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(MachineLimitsTest, NamesWhatItMeasuredAndLeavesPartialRowsOut) {
  const std::vector<BF16> weights = RandomWeights(1000 * kLimitRowWeights + 5);
  const absl::Span<const BF16> runs[] = {
      weights, absl::MakeConstSpan(weights).subspan(0, 5)};
  ThreadPool pool(2);
  const MachineLimits limits = MeasureMachineLimits(runs, /*repeats=*/3, pool);
  EXPECT_EQ(limits.isa, ActiveIsa());
  EXPECT_EQ(limits.threads, 2);
  EXPECT_EQ(limits.bytes, 1000 * kLimitRowWeights * 2);
  for (const Rate& rate :
       {limits.read_gb_per_s, limits.matvec_gb_per_s, limits.fma_gflop_per_s}) {
    EXPECT_GT(rate.min, 0);
    EXPECT_LE(rate.min, rate.median);
    EXPECT_LE(rate.median, rate.max);
  }
}

TEST(MachineLimitsTest, ASampleHasARateForEveryLimitOfTheInstructionSet) {
  const std::vector<BF16> weights = RandomWeights(1000 * kLimitRowWeights);
  const absl::Span<const BF16> runs[] = {weights};
  ThreadPool pool(2);
  for (int rows : kLimitRowCounts) {
    const LimitSample sample = SampleMachineLimits(runs, rows, pool);
    EXPECT_GT(sample.matvec_gb_per_s, 0);
    EXPECT_GT(sample.fma_gflop_per_s, 0);
    EXPECT_EQ(sample.bf16_dot_gflop_per_s > 0,
              LimitVariants()[0].bf16_dot != nullptr);
  }
}

TEST(MachineLimitsTest, MedianOfAnEvenNumberLiesBetween) {
  EXPECT_EQ(Summarize({3.0, 1.0, 2.0}).median, 2.0);
  EXPECT_EQ(Summarize({4.0, 1.0, 2.0, 3.0}).median, 2.5);
}

}  // namespace
}  // namespace facet
