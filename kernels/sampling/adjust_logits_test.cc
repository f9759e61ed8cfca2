#include "kernels/sampling/adjust_logits.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/sampling/sampling.h"

namespace facet {
namespace {

TEST(PenaliseTest, RepetitionDividesPositiveLogitsAndMultipliesOthers) {
  std::vector<float> logits = {3, -3, 0, 3, -3};
  Penalise({{0, 0}, {1, 2}, {2, 1}}, {.repetition = 1.5f}, 0,
           absl::MakeSpan(logits));
  EXPECT_EQ(logits, (std::vector<float>{2, -4.5f, 0, 3, -3}));
}

TEST(PenaliseTest, PresenceAndFrequencyCountTheAnswerAlone) {
  std::vector<float> logits = {1, 1, 1, 1};
  Penalise({{0, 0}, {1, 1}, {2, 4}}, {.presence = 0.5f, .frequency = 0.25f}, 0,
           absl::MakeSpan(logits));
  EXPECT_EQ(logits, (std::vector<float>{1, 0.25f, -0.5f, 1}));
}

TEST(PenaliseTest, TokensOfOtherRunsAreSkipped) {
  std::vector<float> logits = {1, 1};
  Penalise({{9, 1}, {10, 1}, {12, 1}, {100000, 3}}, {.presence = 1}, 10,
           absl::MakeSpan(logits));
  EXPECT_EQ(logits, (std::vector<float>{0, 1}));
}

TEST(PenaliseTest, TheSmallestPenaltyLeavesLogitsFinite) {
  std::vector<float> logits = {30, -30};
  Penalise({{0, 1}, {1, 1}}, {.repetition = 1e-38f}, 0, absl::MakeSpan(logits));
  EXPECT_TRUE(std::isfinite(logits[0]));
  EXPECT_TRUE(std::isfinite(logits[1]));
}

TEST(ForbidTest, NoTemperatureDrawsAForbiddenToken) {
  std::vector<float> logits = {30, -30};
  Forbid(0, 0, absl::MakeSpan(logits));
  Forbid(7, 0, absl::MakeSpan(logits));  // of another run
  const std::vector<TokenLogit> top = TopLogits(logits, 0, 2);
  DrawOptions options;
  options.temperature = 1000;
  for (options.position = 0; options.position < 1000; ++options.position) {
    ASSERT_EQ(Draw(top, options), 1);
  }
}

TEST(ForbidTest, WhereAllAreForbiddenTheBestIsDrawn) {
  std::vector<float> logits = {1.0f, 1.5f, 1.25f};
  for (int token : {0, 1, 2}) Forbid(token, 0, absl::MakeSpan(logits));
  EXPECT_EQ(TopLogits(logits, 0, 1)[0].token, 1);
}

TEST(KeepMaskedTest, OnlyTokensWithABitStay) {
  for (int first : {0, 3, 64, 70}) {
    for (int count : {1, 60, 130, 200}) {
      std::vector<uint64_t> mask(6);
      for (int token : {0, 5, 63, 64, 75, 190, 265}) {
        mask[token / 64] |= uint64_t{1} << (token % 64);
      }
      std::vector<float> logits(count, 1.0f);
      KeepMasked(mask, first, absl::MakeSpan(logits));
      for (int i = 0; i < count; ++i) {
        const int token = first + i;
        EXPECT_EQ(std::isnan(logits[i]),
                  (mask[token / 64] >> (token % 64) & 1) == 0)
            << token;
      }
    }
  }
}

}  // namespace
}  // namespace facet
