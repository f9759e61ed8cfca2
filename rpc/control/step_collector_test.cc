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
