#include "runtime/plan/step_plan.h"

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::HasSubstr;

constexpr KvPoolSizes kPools = {/*page_tokens=*/4, /*sliding_pages=*/10,
                                /*global_pages=*/20};

ModelConfig Model() {
  ModelConfig model;
  model.vocab_size = 100;
  model.sliding_window = 8;
  model.max_position_embeddings = 64;
  model.layers.resize(2);
  return model;
}

SequenceSlice Slice(uint64_t id, int64_t start, int count) {
  SequenceSlice slice;
  slice.sequence = {id};
  slice.start = start;
  slice.tokens.assign(count, 7);
  return slice;
}

// A prefill chunk, a decode token and a sequence that ended.
StepPlan Good() {
  StepPlan plan;
  plan.step = 3;
  plan.slices.push_back(Slice(1, 0, 6));
  plan.slices[0].new_sliding_pages = {{0}, {1}};
  plan.slices[0].new_global_pages = {{19}, {0}};
  plan.slices.push_back(Slice(2, 20, 1));
  plan.slices[1].new_sliding_pages = {{9}};
  plan.slices[1].new_global_pages = {{5}};
  plan.slices[1].sliding_first_page = 3;  // position 20 sees 13 and after
  plan.slices[1].sample = true;
  plan.slices[1].sampling = {0.7f, 64, 0.95f, 0.05f, 9, true, 64};
  plan.slices[1].logits = LogitsWanted::kAll;
  plan.finished = {{7}};
  return plan;
}

TEST(ValidateStepPlanTest, PrefillDecodeAndFinishedPass) {
  const absl::Status status = ValidateStepPlan(Good(), Model(), kPools);
  EXPECT_TRUE(status.ok()) << status;
  StepPlan ended;
  ended.finished = {{1}, {2}};
  EXPECT_TRUE(ValidateStepPlan(ended, Model(), kPools).ok());
}

TEST(ValidateStepPlanTest, TheLastPositionOfTheModelPasses) {
  StepPlan plan;
  plan.slices.push_back(Slice(1, 60, 4));
  EXPECT_TRUE(ValidateStepPlan(plan, Model(), kPools).ok());
}

TEST(ValidateStepPlanTest, RefusalNamesSequenceFieldAndWhatIsLegal) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  struct Case {
    std::function<void(StepPlan&)> damage;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {[](StepPlan& p) { p = StepPlan(); }, "no slices"},
      {[](StepPlan& p) { p.slices[0].tokens.clear(); },
       "sequence 1: tokens: expected at least one"},
      {[](StepPlan& p) { p.slices[0].tokens[5] = 100; },
       "sequence 1: tokens: id 100, expected below the vocabulary's 100"},
      {[](StepPlan& p) { p.slices[0].tokens[0] = kSampledToken; }, "id -1"},
      {[](StepPlan& p) { p.slices[0].start = -1; }, "start: positions -1"},
      {[](StepPlan& p) { p.slices[1].start = 64; }, "the model's 64"},
      {[](StepPlan& p) {
         p.slices[1].start = std::numeric_limits<int64_t>::max();
       },
       "sequence 2: start"},
      {[](StepPlan& p) { p.slices[0].start = 59; }, "the model's 64"},
      {[](StepPlan& p) { p.slices[1].new_sliding_pages[0].value = 10; },
       "new_sliding_pages: page 10, expected below 10"},
      {[](StepPlan& p) { p.slices[1].new_global_pages[0].value = 20; },
       "new_global_pages: page 20, expected below 20"},
      {[](StepPlan& p) { p.slices[0].new_global_pages[0] = PageId(); },
       "page -1"},
      {[](StepPlan& p) { p.slices[1].new_global_pages[0].value = 19; },
       "sequence 2: new_global_pages: page 19 is granted twice"},
      {[](StepPlan& p) {
         p.slices[0].new_global_pages = {{1}, {2}, {3}};
       },
       "3 pages, expected at most 2"},
      {[](StepPlan& p) { p.slices[1].sliding_first_page = 4; },
       "sliding_first_page: 4, expected 0 to 3: position 20 still sees"},
      {[](StepPlan& p) { p.slices[0].sliding_first_page = -1; },
       "sliding_first_page: -1"},
      {[](StepPlan& p) { p.slices[1].sequence.value = 1; },
       "sequence 1 has two slices"},
      {[](StepPlan& p) { p.slices[1].sequence.value = 7; },
       "sequence 7 has two slices, or a slice though it ended"},
      {[](StepPlan& p) { p.finished.push_back({7}); }, "named twice"},
      {[=](StepPlan& p) { p.slices[1].sampling.temperature = kNan; },
       "temperature"},
      {[](StepPlan& p) { p.slices[1].sampling.temperature = -1; },
       "temperature: expected 0 to 1000, found -1"},
      {[](StepPlan& p) { p.slices[1].sampling.top_k = -1; }, "top_k"},
      {[](StepPlan& p) { p.slices[1].sampling.top_p = 0; }, "top_p"},
      {[](StepPlan& p) { p.slices[1].sampling.min_p = 1; }, "min_p"},
      {[](StepPlan& p) { p.slices[1].sampling.top_logprobs = 65; },
       "top_logprobs: expected 0 to 64, found 65"},
  };
  for (const Case& c : cases) {
    StepPlan plan = Good();
    c.damage(plan);
    const absl::Status status = ValidateStepPlan(plan, Model(), kPools);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.expected;
    EXPECT_THAT(status.message(), HasSubstr(c.expected));
  }
}

// A sequence that finds two of its pages of each pool in the cache, one of them
// behind its window.
SequenceSlice Begins(uint64_t id) {
  SequenceSlice slice = Slice(id, 16, 5);
  slice.sliding_first_page = 2;  // position 16 sees 9 and after
  slice.new_sliding_pages = {{1}, {2}, {3}, {4}};
  slice.new_global_pages = {{1}, {2}, {3}, {4}, {5}, {6}};
  slice.begins.emplace();
  slice.begins->prompt_tokens = 19;
  slice.begins->earlier_tokens.assign(16, 3);
  slice.begins->logit_bias = {{0, -100}, {99, 5}};
  slice.begins->late_tokens = {1, 2};
  slice.prompt_logprobs = 64;
  slice.next_prompt_token = 8;
  slice.sample = true;
  slice.mask = std::make_shared<TokenMask>(TokenMask{0, 1});
  return slice;
}

StepPlan TwoBegin() {
  StepPlan plan;
  plan.step = 9;
  plan.completed = 8;
  plan.slices = {Begins(1), Begins(2), Slice(3, 7, 1)};
  plan.slices[1].new_sliding_pages = {{1}, {2}, {5}, {6}};
  plan.slices[1].new_global_pages = {{1}, {2}, {3}, {4}, {7}, {8}};
  plan.slices[2].tokens = {kSampledToken};
  return plan;
}

TEST(ValidateStepPlanTest, SequencesMayBeginOnSharedPages) {
  const absl::Status status = ValidateStepPlan(TwoBegin(), Model(), kPools);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ValidateStepPlanTest, RefusesWhatASequenceCannotBeginWith) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  struct Case {
    std::function<void(SequenceSlice&)> damage;  // of the second
    std::string expected;
  };
  const std::vector<Case> cases = {
      {[](SequenceSlice& s) { s.start = 18; },
       "sequence 2: begins: at position 18, expected a multiple of 4"},
      {[](SequenceSlice& s) { s.begins->prompt_tokens = 0; },
       "prompt_tokens: expected 1 to 64, found 0"},
      {[](SequenceSlice& s) { s.begins->prompt_tokens = 65; }, "found 65"},
      {[](SequenceSlice& s) { s.begins->earlier_tokens.pop_back(); },
       "15 tokens, expected 0 or 16"},
      {[](SequenceSlice& s) { s.begins->earlier_tokens[3] = -1; }, "id -1"},
      {[](SequenceSlice& s) { s.begins->logit_bias[0].token = 100; },
       "logit_bias: id 100"},
      {[=](SequenceSlice& s) { s.begins->logit_bias[0].bias = kNan; },
       "logit_bias: nan for token 0"},
      {[](SequenceSlice& s) { s.begins->logit_bias[0].token = 99; },
       "logit_bias: token 99 is named twice"},
      {[](SequenceSlice& s) { s.begins->logit_bias.resize(1025); },
       "1025 tokens, expected at most 1024"},
      {[](SequenceSlice& s) { s.begins->late_tokens[0] = 100; },
       "late_tokens: id 100"},
      {[](SequenceSlice& s) { s.begins->late_tokens.resize(1025); },
       "late_tokens: 1025 tokens"},
      {[](SequenceSlice& s) { s.tokens = {kSampledToken}; },
       "a sampled token cannot begin a sequence"},
      {[](SequenceSlice& s) {
         s.tokens = {kSampledToken, 1};
       },
       "id -1"},
      // Its own pages begin behind the shared ones.
      {[](SequenceSlice& s) { s.new_global_pages[4] = {5}; },
       "new_global_pages: page 5 is granted twice"},
      {[](SequenceSlice& s) { s.new_sliding_pages[2] = {3}; },
       "new_sliding_pages: page 3 is granted twice"},
      {[](SequenceSlice& s) { s.new_sliding_pages[1] = {3}; },
       "page 3 is granted and shared in one step"},
      {[](SequenceSlice& s) { s.new_global_pages[5] = {2}; },
       "page 2 is granted and shared in one step"},
      {[](SequenceSlice& s) { s.prompt_logprobs = 65; },
       "prompt_logprobs: expected -1 to 64, found 65"},
      {[](SequenceSlice& s) { s.prompt_logprobs = -2; }, "found -2"},
      {[](SequenceSlice& s) { s.next_prompt_token = 100; },
       "next_prompt_token: id 100"},
      {[](SequenceSlice& s) {
         s.mask = std::make_shared<TokenMask>(TokenMask{1});
       },
       "mask: 1 words, expected 2"},
      {[](SequenceSlice& s) {
         // Bits behind the vocabulary's 100 are no tokens.
         s.mask = std::make_shared<TokenMask>(TokenMask{0, uint64_t{1} << 36});
       },
       "mask: no token may be drawn"},
      {[](SequenceSlice& s) { s.sampling.repetition_penalty = 0; },
       "repetition_penalty: expected above 0, found 0"},
      {[=](SequenceSlice& s) { s.sampling.presence_penalty = kNan; },
       "presence_penalty: expected -2 to 2"},
      {[](SequenceSlice& s) { s.sampling.frequency_penalty = -2.5f; },
       "frequency_penalty: expected -2 to 2, found -2.5"},
  };
  for (const Case& c : cases) {
    StepPlan plan = TwoBegin();
    c.damage(plan.slices[1]);
    const absl::Status status = ValidateStepPlan(plan, Model(), kPools);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.expected;
    EXPECT_THAT(status.message(), HasSubstr(c.expected));
  }
}

TEST(ValidateStepPlanTest, OnlyStepsBeforeAreComplete) {
  StepPlan plan = TwoBegin();
  plan.completed = 9;
  EXPECT_THAT(ValidateStepPlan(plan, Model(), kPools).message(),
              HasSubstr("completed: step 9, expected below this one's 9"));
}

TEST(ValidateStepPlanTest, ASampledTokenHasNoPromptLogprobs) {
  StepPlan plan = TwoBegin();
  plan.slices[2].prompt_logprobs = 0;
  EXPECT_THAT(ValidateStepPlan(plan, Model(), kPools).message(),
              HasSubstr("a sampled token cannot belong to a prompt"));
}

TEST(ValidateStepPlanTest, SamplingOfASliceThatDoesNotSampleIsIgnored) {
  StepPlan plan = Good();
  plan.slices[0].sampling.top_p = 0;
  EXPECT_TRUE(ValidateStepPlan(plan, Model(), kPools).ok());
}

TEST(ValidateStepPlanTest, WhatOneStepMaySendBackIsBounded) {
  ModelConfig model = Model();
  model.vocab_size = 262144;
  model.max_position_embeddings = 1 << 20;
  StepPlan plan;
  plan.slices.push_back(Slice(1, 0, 4096));
  plan.slices[0].logits = LogitsWanted::kAll;
  EXPECT_TRUE(ValidateStepPlan(plan, model, kPools).ok());
  plan.slices.push_back(Slice(2, 0, 1));
  plan.slices[1].logits = LogitsWanted::kLast;
  EXPECT_THAT(ValidateStepPlan(plan, model, kPools).message(),
              HasSubstr("ask for fewer rows"));
}

}  // namespace
}  // namespace facet
