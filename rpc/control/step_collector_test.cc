#include "rpc/control/step_collector.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/convert/control_convert.h"

namespace facet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kVocab = 8;

// Sequence 1 decodes at position 9; sequence 2 prefills 4 to 6 and wants rows.
StepPlan TwoSequences() {
  StepPlan plan;
  plan.step = 7;
  plan.slices.resize(2);
  plan.slices[0].sequence = {1};
  plan.slices[0].tokens = {3};
  plan.slices[0].start = 9;
  plan.slices[0].sample = true;
  plan.slices[1].sequence = {2};
  plan.slices[1].tokens = {3, 4, 5};
  plan.slices[1].start = 4;
  plan.slices[1].sample = true;
  plan.slices[1].logits = LogitsWanted::kAll;
  return plan;
}

LogitsBlock Block(int64_t vocab_begin, int64_t vocab_end) {
  LogitsBlock block{{2}, 4, 3, vocab_begin, vocab_end, {}};
  for (int64_t i = 0; i < 3 * (vocab_end - vocab_begin); ++i) {
    block.values.push_back(static_cast<float>(100 * vocab_begin + i));
  }
  return block;
}

StepResult Answer(std::vector<uint64_t> sequences) {
  StepResult result;
  result.step = 7;
  for (uint64_t sequence : sequences) {
    result.tokens.push_back({{sequence}, 11, 0, {}});
  }
  return result;
}

void ExpectRefused(const absl::Status& status, const char* word) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(word));
}

TEST(StepCollectorTest, AnswersInAnyOrderGiveOneResult) {
  const StepPlan plan = TwoSequences();
  for (int first : {0, 1}) {
    for (int64_t piece_values : {1, 5, 1000}) {
      StepCollector collector(&plan, 2, kVocab);
      for (int rank : {first, 1 - first}) {
        EXPECT_FALSE(collector.complete());
        EXPECT_EQ(collector.Missing().size(), rank == first ? 2u : 1u);
        const LogitsBlock block = rank == 0 ? Block(0, 4) : Block(4, 8);
        for (LogitsPiece& piece : CutLogits(7, block, piece_values)) {
          ASSERT_TRUE(collector.Add(rank, std::move(piece)).ok());
        }
        StepResult answer = rank == 0 ? Answer({1, 2}) : Answer({});
        answer.compute = absl::Milliseconds(rank + 1);
        ASSERT_TRUE(collector.Add(rank, std::move(answer)).ok());
      }
      ASSERT_TRUE(collector.complete());
      const absl::StatusOr<StepResult> result = collector.Take();
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->step, 7u);
      EXPECT_EQ(result->compute, absl::Milliseconds(2));
      ASSERT_EQ(result->tokens.size(), 2u);
      ASSERT_EQ(result->logits.size(), 2u);
      EXPECT_EQ(result->logits[0].values, Block(0, 4).values);
      EXPECT_EQ(result->logits[1].values, Block(4, 8).values);
    }
  }
}

TEST(StepCollectorTest, EachRanksComputeTimeIsKept) {
  const StepPlan plan = TwoSequences();
  StepCollector collector(&plan, 3, kVocab);
  for (int rank : {2, 0, 1}) {
    StepResult answer = rank == 1 ? Answer({1, 2}) : Answer({});
    answer.compute = absl::Milliseconds(10 - rank);
    ASSERT_TRUE(collector.Add(rank, std::move(answer)).ok());
  }
  const absl::StatusOr<StepResult> result = collector.Take();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->rank_compute,
              ElementsAre(absl::Milliseconds(10), absl::Milliseconds(9),
                          absl::Milliseconds(8)));
  EXPECT_EQ(result->compute, absl::Milliseconds(10));
}

TEST(StepCollectorTest, MissingNamesTheRanksThatHaveNotAnswered) {
  const StepPlan plan = TwoSequences();
  StepCollector collector(&plan, 3, kVocab);
  ASSERT_TRUE(collector.Add(1, Answer({})).ok());
  EXPECT_THAT(collector.Missing(), ElementsAre(0, 2));
}

TEST(StepCollectorTest, AnswersNobodyAskedForAreRefused) {
  const StepPlan plan = TwoSequences();
  const auto add = [&](LogitsPiece piece) {
    StepCollector collector(&plan, 1, kVocab);
    return collector.Add(0, std::move(piece));
  };
  const LogitsPiece good = CutLogits(7, Block(0, 4))[0];
  ASSERT_TRUE(add(good).ok());
  LogitsPiece bad = good;
  bad.step = 6;
  ExpectRefused(add(bad), "step 6");
  bad = good;
  bad.block.sequence = {1};
  ExpectRefused(add(bad), "asks none");
  bad.block.sequence = {77};
  ExpectRefused(add(bad), "sequence 77");
  bad = good;
  bad.block.first_position = 3;
  ExpectRefused(add(bad), "positions 3");
  bad.block.first_position = 5;
  ExpectRefused(add(bad), "positions 5");
  bad = good;
  bad.block.vocab_end = kVocab + 1;
  ExpectRefused(add(bad), "vocabulary id 9");
  bad = good;
  bad.offset = 3;
  ExpectRefused(add(bad), "offset 3");
}

TEST(StepCollectorTest, PiecesOutOfPlaceAreRefused) {
  const StepPlan plan = TwoSequences();
  StepCollector collector(&plan, 1, kVocab);
  const std::vector<LogitsPiece> pieces = CutLogits(7, Block(0, 4), 5);
  ASSERT_TRUE(collector.Add(0, pieces[0]).ok());
  ExpectRefused(collector.Add(0, pieces[0]), "offset 0");
  ExpectRefused(collector.Add(0, pieces[2]), "offset 10");
  ExpectRefused(collector.Add(0, Answer({1, 2})), "amid a logits block");
  ASSERT_TRUE(collector.Add(0, pieces[1]).ok());
  ASSERT_TRUE(collector.Add(0, pieces[2]).ok());
  ASSERT_TRUE(collector.Add(0, Answer({1, 2})).ok());
  ExpectRefused(collector.Add(0, pieces[0]), "after its result");
  ExpectRefused(collector.Add(0, Answer({1, 2})), "twice");
}

// A rank that sends what is asked for again and again fills no memory.
TEST(StepCollectorTest, MoreLogitsThanTheStepAsksForAreRefused) {
  const StepPlan plan = TwoSequences();
  StepCollector collector(&plan, 1, kVocab);
  const LogitsPiece piece = CutLogits(7, Block(0, 4))[0];
  ASSERT_TRUE(collector.Add(0, piece).ok());
  ASSERT_TRUE(collector.Add(0, piece).ok());
  ExpectRefused(collector.Add(0, piece), "36 in all, expected 1 to 24");
  StepCollector another(&plan, 1, kVocab);
  LogitsPiece empty = piece;
  empty.block.rows = 0;
  empty.values.clear();
  ExpectRefused(another.Add(0, empty), "block of 0 logits");
}

// Sequence 1 decodes; 2 and 3 prefill prompts and want the log-probabilities of
// their tokens, 3 to its prompt's end.
StepPlan ThreePrompts() {
  StepPlan plan = TwoSequences();
  for (SequenceSlice& slice : plan.slices) {
    slice.sample = false;
    slice.logits = LogitsWanted::kNone;
  }
  plan.slices[1].prompt_logprobs = 1;
  plan.slices[1].next_prompt_token = 9;
  plan.slices.push_back(plan.slices[1]);
  plan.slices[2].sequence = {3};
  plan.slices[2].start = 0;
  plan.slices[2].next_prompt_token = -1;
  return plan;
}

// Those of sequence 2 and 3 that ThreePrompts() asks for.
std::vector<PromptLogprob> PromptLogprobs() {
  std::vector<PromptLogprob> all;
  for (int64_t position : {5, 6, 7}) {
    all.push_back({{2}, position, 4, -1.5f, {{4, -1.5f}}});
  }
  for (int64_t position : {1, 2}) {
    all.push_back({{3}, position, 4, -1.5f, {{4, -1.5f}}});
  }
  return all;
}

TEST(StepCollectorTest, PromptLogprobsAreJoinedInTheirOrder) {
  const StepPlan plan = ThreePrompts();
  for (int64_t piece_entries : {1, 2, 4, 1000}) {
    StepCollector collector(&plan, 2, kVocab);
    for (PromptLogprobsPiece& piece :
         CutPromptLogprobs(7, PromptLogprobs(), piece_entries)) {
      ASSERT_TRUE(collector.Add(1, std::move(piece)).ok());
    }
    for (int rank : {0, 1}) {
      ASSERT_TRUE(collector.Add(rank, Answer({})).ok());
    }
    const absl::StatusOr<StepResult> result = collector.Take();
    ASSERT_TRUE(result.ok()) << result.status();
    const std::vector<PromptLogprob> expected = PromptLogprobs();
    ASSERT_EQ(result->prompt_logprobs.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(result->prompt_logprobs[i].sequence, expected[i].sequence);
      EXPECT_EQ(result->prompt_logprobs[i].position, expected[i].position);
    }
  }
}

TEST(StepCollectorTest, PromptLogprobsNobodyAskedForAreRefused) {
  const StepPlan plan = ThreePrompts();
  const auto add = [&](std::vector<PromptLogprob> entries) {
    StepCollector collector(&plan, 1, kVocab);
    return collector.Add(0, PromptLogprobsPiece{7, std::move(entries)});
  };
  const std::vector<PromptLogprob> good = PromptLogprobs();
  ASSERT_TRUE(add(good).ok());
  std::vector<PromptLogprob> bad = good;
  bad[0].sequence = {1};
  ExpectRefused(add(bad), "sequence 1, expected 0");
  bad[0].sequence = {8};
  ExpectRefused(add(bad), "no slice");
  bad = good;
  bad[0].position = 4;
  ExpectRefused(add(bad), "position 4");
  bad = good;
  bad[1].position = 7;
  ExpectRefused(add(bad), "position 7");
  bad = good;
  bad.push_back({{3}, 3, 4, -1.5f, {}});
  ExpectRefused(add(bad), "expected 2 from position 1 on");
  bad = good;
  bad.push_back(good[0]);
  ExpectRefused(add(bad), "in front of the one before");
  bad = good;
  bad[0].top.push_back({5, -2.0f});
  ExpectRefused(add(bad), "with 2 tokens, expected 1");

  StepCollector collector(&plan, 2, kVocab);
  ExpectRefused(collector.Add(0, PromptLogprobsPiece{6, {}}), "step 6");
  ASSERT_TRUE(collector.Add(0, PromptLogprobsPiece{7, {good[0]}}).ok());
  ExpectRefused(collector.Add(1, PromptLogprobsPiece{7, {good[1]}}),
                "another rank");
  ASSERT_TRUE(collector.Add(0, Answer({})).ok());
  ExpectRefused(collector.Add(0, PromptLogprobsPiece{7, {good[1]}}),
                "after its result");
}

TEST(StepCollectorTest, PromptLogprobsThatAreMissingAreAnError) {
  const StepPlan plan = ThreePrompts();
  StepCollector collector(&plan, 1, kVocab);
  std::vector<PromptLogprob> entries = PromptLogprobs();
  entries.erase(entries.begin() + 2, entries.end());
  ASSERT_TRUE(collector.Add(0, PromptLogprobsPiece{7, entries}).ok());
  ASSERT_TRUE(collector.Add(0, Answer({})).ok());
  const absl::Status status = collector.Take().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("2 prompt log-probabilities of sequence 2"));
}

TEST(StepCollectorTest, OnlyOneRankSamples) {
  const StepPlan plan = TwoSequences();
  StepCollector collector(&plan, 2, kVocab);
  ASSERT_TRUE(collector.Add(0, Answer({1, 2})).ok());
  ExpectRefused(collector.Add(1, Answer({1, 2})), "another rank");
}

TEST(StepCollectorTest, TokensThatDoNotAnswerThePlanAreAnError) {
  const StepPlan plan = TwoSequences();
  const std::vector<std::vector<uint64_t>> wrong = {
      {}, {1}, {2, 1}, {1, 2, 2}, {1, 3}};
  for (const std::vector<uint64_t>& sequences : wrong) {
    StepCollector collector(&plan, 1, kVocab);
    ASSERT_TRUE(collector.Add(0, Answer(sequences)).ok());
    EXPECT_EQ(collector.Take().status().code(), absl::StatusCode::kInternal);
  }
}

}  // namespace
}  // namespace facet
