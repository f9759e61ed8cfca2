// What a serving engine does to be fast changes no answer: steps handed over
// before the one before is back, prompts whose first pages another sequence
// filled, and both on every number of ranks.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/invariance/tiny_models.h"
#include "tests/support/forward.h"

namespace facet {
namespace {

class ServingTest : public testing::TestWithParam<std::string> {
 protected:
  ServingTest()
      : prompts_(TinyPrompts(GetParam())), forward_(TinyForward(GetParam())) {
    // Long enough for two pages and the window to lie behind its end.
    TokenIds longest;
    while (longest.size() < 100) {
      for (const TokenIds& prompt : prompts_) {
        longest.insert(longest.end(), prompt.begin(), prompt.end());
      }
    }
    longest.resize(100);
    prompts_.push_back(longest);
  }

  std::vector<TokenIds> prompts_;
  ForwardOptions forward_;
};

TEST_P(ServingTest, StepsAheadOfTheirTokensChangeNothing) {
  for (bool greedy : {true, false}) {
    ContinueOptions what;
    what.count = 12;
    what.sampling.logprob = true;
    what.sampling.top_logprobs = 2;
    if (!greedy) {
      what.sampling.temperature = 1.0f;
      what.sampling.seed = 11;
      what.sampling.top_p = 0.95f;
    }
    const auto one = TinyCluster(GetParam(), 1, 1);
    ASSERT_NE(one, nullptr);
    const auto plain = Continue(*one, prompts_, what, forward_);
    ASSERT_TRUE(plain.ok()) << plain.status();
    what.pipelined = true;
    for (int tp : {1, 2, 4}) {
      for (int pp : {1, 2, 3}) {
        const auto cluster = TinyCluster(GetParam(), tp, pp);
        ASSERT_NE(cluster, nullptr);
        const auto ahead = Continue(*cluster, prompts_, what, forward_);
        ASSERT_TRUE(ahead.ok()) << ahead.status();
        EXPECT_EQ(Difference(*plain, *ahead), "")
            << "tp " << tp << " pp " << pp << (greedy ? " greedy" : "");
      }
    }
  }
}

// One sequence alone is as many steps ahead of itself as the executor takes.
TEST_P(ServingTest, OneSequenceMayRunAheadOfItself) {
  ContinueOptions what;
  what.count = 20;
  const std::vector<TokenIds> prompt = {prompts_.back()};
  const auto one = TinyCluster(GetParam(), 1, 1);
  const auto plain = Continue(*one, prompt, what, forward_);
  ASSERT_TRUE(plain.ok()) << plain.status();
  what.pipelined = true;
  for (int pp : {1, 2, 3}) {
    const auto cluster = TinyCluster(GetParam(), 2, pp);
    ASSERT_NE(cluster, nullptr);
    const auto ahead = Continue(*cluster, prompt, what, forward_);
    ASSERT_TRUE(ahead.ok()) << ahead.status();
    EXPECT_EQ(Difference(*plain, *ahead), "") << "pp " << pp;
  }
}

// 32 and 64 lie beyond the window of every one of these models, so sliding
// pages in front are missing on purpose.
TEST_P(ServingTest, PagesThatAnotherSequenceFilledGiveTheSameBits) {
  const std::vector<TokenIds> prompts = {prompts_.back()};
  const int64_t length = static_cast<int64_t>(prompts[0].size());
  ContinueOptions what;
  what.count = 8;
  what.sampling.logprob = true;
  const auto one = TinyCluster(GetParam(), 1, 1);
  ASSERT_NE(one, nullptr);
  const auto logits = LogitsOf(*one, prompts, forward_);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const auto plain = Continue(*one, prompts, what, forward_);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const auto& [tp, pp] : std::vector<std::pair<int, int>>{
           {1, 1}, {2, 1}, {1, 2}, {2, 2}, {1, 3}, {4, 3}}) {
    const auto cluster = TinyCluster(GetParam(), tp, pp);
    ASSERT_NE(cluster, nullptr);
    for (int64_t shared : {32, 64, 96}) {
      const std::string where =
          absl::StrCat("tp ", tp, " pp ", pp, " shared ", shared);
      ForwardOptions hit = forward_;
      hit.shared = shared;
      hit.chunk = shared == 32 ? 7 : 0;
      const auto got = LogitsOf(*cluster, prompts, hit);
      ASSERT_TRUE(got.ok()) << got.status() << where;
      const int64_t begin = shared * hit.vocab_size;
      EXPECT_EQ(
          0, std::memcmp((*got)[0].data() + begin, (*logits)[0].data() + begin,
                         (length - shared) * hit.vocab_size * sizeof(float)))
          << where;
      what.pipelined = pp > 1;
      const auto tokens = Continue(*cluster, prompts, what, hit);
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      EXPECT_EQ(Difference(*plain, *tokens), "") << where;
    }
  }
}

SequenceSlice OnePage(uint64_t id, int64_t start, TokenIds tokens) {
  SequenceSlice slice;
  slice.sequence = {id};
  slice.start = start;
  slice.tokens = std::move(tokens);
  slice.sample = true;
  if (start == 0) {
    slice.begins.emplace().prompt_tokens =
        static_cast<int64_t>(slice.tokens.size());
    slice.new_sliding_pages = {{0}};
    slice.new_global_pages = {{0}};
  }
  return slice;
}

StepPlan OneSlice(uint64_t step, SequenceSlice slice) {
  StepPlan plan;
  plan.step = step;
  plan.slices.push_back(std::move(slice));
  return plan;
}

// A plan that is refused voids what stands behind it, and the executor goes on
// as if neither had been.
TEST_P(ServingTest, ARefusedStepHarmsNothing) {
  const TokenIds prompt = {2, 10, 30};
  std::vector<int32_t> want;
  for (const auto& [tp, pp] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {1, 2}, {2, 3}}) {
    const auto cluster = TinyCluster(GetParam(), tp, pp);
    ASSERT_NE(cluster, nullptr);
    std::vector<int32_t> got;
    ASSERT_TRUE(cluster->Start(OneSlice(1, OnePage(1, 0, prompt))).ok());
    // Unknown, so there is no token that it drew.
    ASSERT_TRUE(
        cluster->Start(OneSlice(2, OnePage(9, 3, {kSampledToken}))).ok());
    const auto first = cluster->Finish();
    ASSERT_TRUE(first.ok()) << first.status();
    got.push_back(first->tokens[0].token);
    ASSERT_TRUE(
        cluster->Start(OneSlice(3, OnePage(1, 3, {kSampledToken}))).ok());
    EXPECT_EQ(cluster->Finish().status().code(),
              absl::StatusCode::kInvalidArgument);
    for (int64_t i = 0; i < 3; ++i) {
      const auto result =
          cluster->Execute(OneSlice(4 + i, OnePage(1, 3 + i, {kSampledToken})));
      ASSERT_TRUE(result.ok()) << result.status();
      got.push_back(result->tokens[0].token);
    }
    if (want.empty()) want = got;
    EXPECT_EQ(got, want) << "tp " << tp << " pp " << pp;
  }
}

// Ended for want of pages, a sequence begins again with its answer so far,
// under the same id, while steps are under way. Penalties still tell prompt
// from answer.
TEST_P(ServingTest, APreemptedSequenceGoesOnWhereItStopped) {
  const TokenIds prompt = {2, 10, 30};
  SamplingParams sampling;
  sampling.temperature = 1.0f;
  sampling.seed = 4;
  sampling.presence_penalty = 1.5f;
  ContinueOptions what;
  what.count = 5;
  what.sampling = sampling;
  const auto one = TinyCluster(GetParam(), 1, 1);
  ASSERT_NE(one, nullptr);
  const auto plain = Continue(*one, {prompt}, what, forward_);
  ASSERT_TRUE(plain.ok()) << plain.status();
  std::vector<int32_t> want;
  for (const SampledToken& token : (*plain)[0].tokens) {
    want.push_back(token.token);
  }
  for (const auto& [tp, pp] :
       std::vector<std::pair<int, int>>{{1, 1}, {1, 2}, {2, 3}}) {
    const auto cluster = TinyCluster(GetParam(), tp, pp);
    ASSERT_NE(cluster, nullptr);
    std::vector<int32_t> got;
    const auto start = [&](const StepPlan& plan) {
      const absl::Status status = cluster->Start(plan);
      EXPECT_TRUE(status.ok()) << status;
    };
    const auto finish = [&] {
      const auto result = cluster->Finish();
      ASSERT_TRUE(result.ok()) << result.status();
      for (const SampledToken& token : result->tokens) {
        got.push_back(token.token);
      }
    };
    const auto draw = [&](uint64_t step, SequenceSlice slice) {
      slice.sampling = sampling;
      return OneSlice(step, std::move(slice));
    };
    start(draw(1, OnePage(1, 0, prompt)));
    start(draw(2, OnePage(1, 3, {kSampledToken})));
    finish();
    finish();
    ASSERT_EQ(got.size(), 2u);
    StepPlan end;
    end.step = 3;
    end.finished = {{1}};
    start(end);
    TokenIds again = prompt;
    again.insert(again.end(), got.begin(), got.end());
    SequenceSlice begin = OnePage(1, 0, again);
    begin.begins->prompt_tokens = 3;
    start(draw(4, std::move(begin)));
    finish();
    start(draw(5, OnePage(1, 5, {kSampledToken})));
    finish();
    start(draw(6, OnePage(1, 6, {kSampledToken})));
    finish();
    finish();
    EXPECT_EQ(got, want) << "tp " << tp << " pp " << pp;
  }
}

INSTANTIATE_TEST_SUITE_P(AllSizes, ServingTest,
                         testing::Values("dense-tiny", "moe-tiny", "e2b-tiny",
                                         "e4b-tiny"),
                         [](const auto& info) { return TinyName(info.param); });

}  // namespace
}  // namespace facet
