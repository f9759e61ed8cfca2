// The text model of every size against what the reference implementation
// computed in f32 from the same weights, under every instruction set.
#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/base/cpu.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/rank_runner.h"
#include "tests/support/forward.h"
#include "tests/support/golden_data.h"

namespace facet {
namespace {

// An independent f32 implementation came within 9e-5 of the reference.
constexpr float kTolerance = 1e-3f;
// Greedy choices are compared up to the first near tie.
constexpr float kGreedyMargin = 1e-2f;

constexpr KvPoolSizes kPools = {32, 64, 64};

float LargestDifference(absl::Span<const float> a, absl::Span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::fabs(a[i] - b[i]));
  }
  return largest;
}

double RelativeRms(absl::Span<const float> a, absl::Span<const float> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

class GoldenTest : public testing::TestWithParam<std::tuple<std::string, Isa>> {
 protected:
  void SetUp() override {
    SetActiveIsaForTest(std::get<1>(GetParam()));
    directory_ = "tests/testdata/golden/" + std::get<0>(GetParam());
    golden_ = *GoldenData::Read(directory_ + "/golden");
    const auto config = ReadModelConfig(directory_);
    ASSERT_TRUE(config.ok()) << config.status();
    config_ = *config;
    forward_.vocab_size = config_.vocab_size;
    forward_.sliding_window = config_.sliding_window;
  }
  void TearDown() override { SetActiveIsaForTest(BestIsa()); }

  std::unique_ptr<Executor> Load(const NumericsOptions& numerics = {}) {
    RankOptions options;
    options.model_directory = directory_;
    options.pools = kPools;
    options.num_threads = 2;
    options.numerics = numerics;
    options.check_weights = true;
    auto executor = MakeLocalExecutor(options, LoadProgress());
    EXPECT_TRUE(executor.ok()) << executor.status();
    return *std::move(executor);
  }

  std::vector<TokenIds> Prompts() const {
    std::vector<TokenIds> prompts;
    for (const std::string& tag : golden_.TextPrompts()) {
      prompts.push_back(golden_.Ints(tag + ".input_ids"));
    }
    return prompts;
  }

  std::string directory_;
  GoldenData golden_;
  ModelConfig config_;
  ForwardOptions forward_;
};

TEST_P(GoldenTest, LogitsAreTheReferences) {
  const auto executor = Load();
  const auto logits = LogitsOf(*executor, Prompts(), forward_);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const std::vector<std::string> tags = golden_.TextPrompts();
  ASSERT_GE(tags.size(), 3u);
  for (size_t p = 0; p < tags.size(); ++p) {
    EXPECT_LT(LargestDifference((*logits)[p],
                                golden_.Floats(tags[p] + ".logits_f32")),
              kTolerance)
        << tags[p];
  }
}

// bf16 is never silent, and never worse than the reference's own bf16.
TEST_P(GoldenTest, RoundedActivationsAreNearerThanTheReferencesBf16) {
  NumericsOptions numerics;
  numerics.activations = Activations::kBF16;
  const auto executor = Load(numerics);
  const auto logits = LogitsOf(*executor, Prompts(), forward_);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const std::vector<std::string> tags = golden_.TextPrompts();
  for (size_t p = 0; p < tags.size(); ++p) {
    const std::vector<float> exact = golden_.Floats(tags[p] + ".logits_f32");
    const std::vector<float> bf16 = golden_.Floats(tags[p] + ".logits_bf16");
    EXPECT_LT(RelativeRms((*logits)[p], exact), RelativeRms(bf16, exact))
        << tags[p];
  }
}

TEST_P(GoldenTest, GreedyContinuationsAreTheReferencesUpToNearTies) {
  const auto executor = Load();
  for (const std::string& tag : golden_.TextPrompts()) {
    const std::vector<int32_t> want = golden_.Ints(tag + ".greedy.tokens");
    const std::vector<float> top1 = golden_.Floats(tag + ".greedy.top1");
    const std::vector<float> top2 = golden_.Floats(tag + ".greedy.top2");
    size_t certain = 0;
    while (certain < want.size() &&
           top1[certain] - top2[certain] > kGreedyMargin) {
      ++certain;
    }
    const auto got =
        Continue(*executor, golden_.Ints(tag + ".input_ids"),
                 static_cast<int>(certain), SamplingParams(), forward_);
    ASSERT_TRUE(got.ok()) << got.status();
    for (size_t i = 0; i < certain; ++i) {
      EXPECT_EQ((*got)[i].token, want[i]) << tag << " step " << i;
    }
  }
}

TEST_P(GoldenTest, LogprobsAreTheReferences) {
  const auto executor = Load();
  SamplingParams sampling;
  sampling.top_logprobs = 8;
  const auto logits = LogitsOf(*executor, Prompts(), forward_);
  ASSERT_TRUE(logits.ok());
  const std::vector<TokenIds> prompts = Prompts();
  for (size_t p = 0; p < prompts.size(); ++p) {
    const auto tokens = Continue(*executor, prompts[p], 1, sampling, forward_);
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    const absl::Span<const float> row =
        absl::MakeConstSpan((*logits)[p]).last(config_.vocab_size);
    double sum = 0;
    for (float logit : row) sum += std::exp(static_cast<double>(logit));
    ASSERT_EQ((*tokens)[0].top.size(), 8u);
    for (const TokenLogprob& top : (*tokens)[0].top) {
      EXPECT_NEAR(top.logprob, row[top.token] - std::log(sum), 1e-5);
    }
    EXPECT_EQ((*tokens)[0].top[0].token, (*tokens)[0].token);
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllSizes, GoldenTest,
    testing::Combine(testing::Values("dense-tiny", "moe-tiny", "e2b-tiny",
                                     "e4b-tiny"),
                     testing::ValuesIn(SupportedIsas())),
    [](const auto& info) {
      std::string name =
          std::get<0>(info.param) + "_" + Name(std::get<1>(info.param));
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace facet
