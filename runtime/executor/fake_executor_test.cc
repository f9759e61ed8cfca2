#include "runtime/executor/fake_executor.h"

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

// Pages of 4 tokens, a window of 8.
class FakeExecutorTest : public testing::Test {
 protected:
  static FakeExecutorOptions Options() {
    FakeExecutorOptions options;
    options.pools = {.page_tokens = 4, .sliding_pages = 10, .global_pages = 10};
    options.sliding_window = 8;
    options.stages = 2;
    return options;
  }

  // Two pages of sequence 1, at 0 and 1 of both pools; draws.
  static SequenceSlice First() {
    SequenceSlice slice;
    slice.sequence = {1};
    slice.tokens = {1, 2, 3, 4, 5, 6, 7, 8};
    slice.begins.emplace().prompt_tokens = 8;
    slice.new_sliding_pages = {{0}, {1}};
    slice.new_global_pages = {{0}, {1}};
    slice.sample = true;
    return slice;
  }
  // The token drawn by First(), in page 2.
  static SequenceSlice Second() {
    SequenceSlice slice;
    slice.sequence = {1};
    slice.start = 8;
    slice.tokens = {kSampledToken};
    slice.new_sliding_pages = {{2}};
    slice.new_global_pages = {{2}};
    slice.sample = true;
    return slice;
  }
  // Sequence 2, behind the first page of sequence 1.
  static SequenceSlice Sharer() {
    SequenceSlice slice;
    slice.sequence = {2};
    slice.start = 4;
    slice.tokens = {5, 9};
    slice.begins.emplace().prompt_tokens = 6;
    slice.new_sliding_pages = {{0}, {3}};
    slice.new_global_pages = {{0}, {3}};
    slice.sample = true;
    return slice;
  }

  absl::StatusOr<StepResult> Run(std::vector<SequenceSlice> slices,
                                 std::vector<SequenceId> finished = {}) {
    StepPlan plan;
    plan.step = ++step_;
    plan.slices = std::move(slices);
    plan.finished = std::move(finished);
    return executor_.Execute(plan);
  }
  std::string Refusal(const SequenceSlice& slice) {
    const auto result = Run({slice});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  }
  static int32_t Next(const std::vector<int32_t>& tokens) {
    return FakeExecutor::NextToken(tokens, 1000);
  }

  FakeExecutor executor_{Options()};
  uint64_t step_ = 0;
};

TEST_F(FakeExecutorTest, TokensFollowFromThePagesWrittenToAndShared) {
  std::vector<int32_t> tokens = First().tokens;
  EXPECT_EQ(Run({First()})->tokens.at(0).token, Next(tokens));
  tokens.push_back(Next(tokens));
  const auto both = Run({Second(), Sharer()});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->tokens.at(0).token, Next(tokens));
  EXPECT_EQ(both->tokens.at(1).token, Next({1, 2, 3, 4, 5, 9}));
  EXPECT_EQ(executor_.pages_held(), 2 * 4);
  EXPECT_TRUE(Run({}, {{1}}).ok());
  EXPECT_EQ(executor_.pages_held(), 2 * 2);
  EXPECT_TRUE(Run({}, {{2}}).ok());
  EXPECT_EQ(executor_.pages_held(), 0);
}

TEST_F(FakeExecutorTest, WhatAWorkerWouldAnswerWronglyIsRefused) {
  const auto refusal = [&](SequenceSlice slice, auto change) {
    executor_.Reset();
    step_ = 0;
    EXPECT_TRUE(Run({First()}).ok());
    change(&slice);
    return Refusal(slice);
  };
  const auto expect = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  using Slice = SequenceSlice;
  expect(refusal(Sharer(), [](Slice* s) { s->new_global_pages[1] = {1}; }),
         "belongs to another");
  expect(refusal(Sharer(), [](Slice* s) { s->new_global_pages[0] = {5}; }),
         "empty page");
  expect(refusal(Sharer(), [](Slice* s) { s->new_global_pages[0] = {1}; }),
         "holds something else");
  expect(refusal(Sharer(), [](Slice* s) { s->new_sliding_pages[0] = {1}; }),
         "differs between the pools");
  expect(refusal(Sharer(), [](Slice* s) { s->new_sliding_pages.pop_back(); }),
         "reach 4 only");
  expect(refusal(Sharer(), [](Slice* s) { s->begins.reset(); }), "unknown");
  expect(refusal(Sharer(),
                 [](Slice* s) {
                   s->begins->earlier_tokens = {1, 2, 3, 4};
                 }),
         "earlier_tokens");
  expect(refusal(Sharer(), [](Slice* s) { s->tokens = {kSampledToken}; }),
         "no token was drawn");
  expect(refusal(Second(), [](Slice* s) { s->begins.emplace(); }),
         "begins again");
  expect(refusal(Second(), [](Slice* s) { s->tokens = {1000}; }), "in place");
  expect(refusal(Second(), [](Slice* s) { s->start = 7; }), "a gap");
  expect(refusal(Second(), [](Slice* s) { s->sliding_first_page = 1; }),
         "inside the window");
}

TEST_F(FakeExecutorTest, BiasMasksAndLateTokensDecideWhatIsDrawn) {
  const std::vector<int32_t> tokens = First().tokens;
  const int32_t best = Next(tokens);
  SequenceSlice slice = First();
  slice.begins->late_tokens = {best};
  slice.begins->late_position = 9;
  auto mask = std::make_shared<TokenMask>(16, 0);
  (*mask)[best / 64] |= uint64_t{1} << (best % 64);
  (*mask)[3] = 1;
  slice.mask = mask;
  EXPECT_EQ(Run({slice})->tokens.at(0).token, 192);

  executor_.Reset();
  slice.begins->late_position = 8;  // the drawn token is at 8
  EXPECT_EQ(Run({slice})->tokens.at(0).token, best);

  executor_.Reset();
  slice.begins->logit_bias = {{192, 2.5f}};
  EXPECT_EQ(Run({slice})->tokens.at(0).token, 192);
}

TEST_F(FakeExecutorTest, StepsWaitForFinishAndAreVoidAfterReset) {
  StepPlan plan;
  plan.step = 1;
  plan.slices = {First()};
  ASSERT_TRUE(executor_.Start(plan).ok());
  EXPECT_EQ(executor_.sequences(), 0);
  plan.step = 2;
  plan.slices = {Second()};
  ASSERT_TRUE(executor_.Start(plan).ok());
  EXPECT_EQ(executor_.Finish()->step, 1u);
  executor_.Reset();
  EXPECT_EQ(executor_.sequences(), 0);
  plan.step = 3;
  plan.completed = 2;
  plan.slices = {First()};
  ASSERT_TRUE(executor_.Start(plan).ok());
  EXPECT_EQ(executor_.Finish()->step, 3u);
}

TEST_F(FakeExecutorTest, LogprobsOfAPromptAreThoseOfItsOwnTokens) {
  SequenceSlice slice = First();
  slice.begins->prompt_tokens = 20;
  slice.prompt_logprobs = 2;
  slice.next_prompt_token = 77;
  slice.sample = false;
  const auto result = Run({slice});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->prompt_logprobs.size(), 8u);
  EXPECT_EQ(result->prompt_logprobs[0].position, 1);
  EXPECT_EQ(result->prompt_logprobs[0].logprob, FakeExecutor::Logprob({1}, 2));
  EXPECT_EQ(result->prompt_logprobs[7].logprob,
            FakeExecutor::Logprob(slice.tokens, 77));
  EXPECT_EQ(result->prompt_logprobs[7].top.size(), 2u);
  SequenceSlice next = Second();
  next.tokens = {78};
  EXPECT_NE(Refusal(next).find("token 78 in place of 77"), std::string::npos);
}

}  // namespace
}  // namespace facet
