#include "runtime/executor/sequence_memory.h"

#include <map>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

SequenceSlice Slice(uint64_t id, int64_t start, std::vector<int32_t> tokens,
                    bool sample) {
  SequenceSlice slice;
  slice.sequence = {id};
  slice.start = start;
  slice.tokens = std::move(tokens);
  slice.sample = sample;
  return slice;
}

SequenceSlice Begin(uint64_t id, std::vector<int32_t> tokens, bool sample) {
  SequenceSlice slice = Slice(id, 0, std::move(tokens), sample);
  slice.begins.emplace().prompt_tokens =
      static_cast<int64_t>(slice.tokens.size());
  return slice;
}

StepPlan Plan(uint64_t step, std::vector<SequenceSlice> slices,
              std::vector<SequenceId> finished = {}) {
  StepPlan plan;
  plan.step = step;
  plan.slices = std::move(slices);
  plan.finished = std::move(finished);
  return plan;
}

TEST(SequenceMemoryTest, APlaceholderStandsForWhatTheSliceBeforeDrew) {
  SequenceMemory memory(false);
  const StepDraws draws = memory.Apply(Plan(
      7, {Begin(1, {4, 5}, true), Begin(2, {6}, false), Begin(3, {8}, true)}));
  ASSERT_EQ(draws.sequences, (std::vector<SequenceId>{{1}, {3}}));
  const StepPlan next = Plan(8, {Slice(3, 1, {kSampledToken}, true),
                                 Slice(1, 2, {kSampledToken}, true)});
  ASSERT_TRUE(memory.Check(next).ok());
  EXPECT_EQ(memory.NeedsDrawsOf(next), 7u);
  memory.Remember(draws, {41, 43});
  const StepPlan resolved = memory.Resolve(next);
  EXPECT_EQ(resolved.slices[0].tokens[0], 43);
  EXPECT_EQ(resolved.slices[1].tokens[0], 41);
  EXPECT_EQ(memory.NeedsDrawsOf(Plan(8, {Slice(2, 1, {5}, true)})), 0u);
}

TEST(SequenceMemoryTest, APlaceholderBehindASliceThatDrewNothingIsRefused) {
  SequenceMemory memory(false);
  memory.Apply(Plan(1, {Begin(1, {4, 5}, false)}));
  const auto refused = [&](uint64_t id) {
    return memory.Check(Plan(2, {Slice(id, 2, {kSampledToken}, true)}))
               .code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused(1));
  EXPECT_TRUE(refused(2));  // unknown
  memory.Apply(Plan(2, {Slice(1, 2, {6}, true)}));
  EXPECT_FALSE(refused(1));
  memory.Apply(Plan(3, {}, {{1}}));
  EXPECT_TRUE(refused(1));
}

TEST(SequenceMemoryTest, DrawsOfASequenceThatBeganAnewAreDropped) {
  SequenceMemory memory(false);
  const StepDraws first = memory.Apply(Plan(1, {Begin(1, {4}, true)}));
  memory.Apply(Plan(2, {}, {{1}}));
  const StepDraws second = memory.Apply(Plan(3, {Begin(1, {4}, true)}));
  memory.Remember(second, {9});
  memory.Remember(first, {8});
  EXPECT_EQ(memory.Resolve(Plan(4, {Slice(1, 1, {kSampledToken}, true)}))
                .slices[0]
                .tokens[0],
            9);
}

std::map<int32_t, int32_t> UsesOf(SequenceHistory& history) {
  std::map<int32_t, int32_t> uses;
  for (const TokenUse& use : history.Uses()) uses[use.token] = use.in_answer;
  EXPECT_EQ(uses.size(), history.Uses().size());
  return uses;
}

TEST(SequenceMemoryTest, TokensOfTheAnswerAreCountedThoseOfThePromptKnown) {
  SequenceMemory memory(true);
  memory.Apply(Plan(1, {Begin(1, {4, 5, 4}, true)}));
  memory.Apply(Plan(2, {Slice(1, 3, {5}, true)}));
  using Uses = std::map<int32_t, int32_t>;
  EXPECT_EQ(UsesOf(memory.history({1})), (Uses{{4, 0}, {5, 1}}));
  memory.Apply(Plan(3, {Slice(1, 4, {6, 6, 5}, true)}));
  EXPECT_EQ(UsesOf(memory.history({1})), (Uses{{4, 0}, {5, 2}, {6, 2}}));
}

TEST(SequenceMemoryTest, TokensBeforeASharedStartCountToo) {
  SequenceMemory memory(true);
  SequenceSlice slice = Slice(1, 4, {7, 8}, true);
  slice.begins.emplace();
  slice.begins->prompt_tokens = 3;
  slice.begins->earlier_tokens = {1, 2, 1, 7};
  memory.Apply(Plan(1, {slice}));
  EXPECT_EQ(UsesOf(memory.history({1})),
            (std::map<int32_t, int32_t>{{1, 0}, {2, 0}, {7, 2}, {8, 1}}));
}

}  // namespace
}  // namespace facet
