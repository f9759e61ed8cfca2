#include "rpc/cli/bench/serving/step_recorder.h"

#include "gtest/gtest.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

StepPlan PromptOf(int tokens) {
  StepPlan plan;
  plan.step = 1;
  SequenceSlice slice;
  slice.sequence = SequenceId{1};
  slice.tokens.assign(tokens, 5);
  slice.begins.emplace();
  slice.begins->prompt_tokens = tokens;
  slice.new_sliding_pages = {PageId{0}, PageId{1}};
  slice.new_global_pages = {PageId{0}, PageId{1}};
  slice.sample = true;
  plan.slices.push_back(slice);
  return plan;
}

StepPlan NextOf(int tokens) {
  StepPlan plan;
  plan.step = 2;
  SequenceSlice slice;
  slice.sequence = SequenceId{1};
  slice.tokens = {kSampledToken};
  slice.start = tokens;
  slice.sample = true;
  plan.slices.push_back(slice);
  return plan;
}

FakeExecutorOptions SomePages() {
  FakeExecutorOptions options;
  options.pools = {/*page_tokens=*/16, /*sliding_pages=*/8, /*global_pages=*/8};
  return options;
}

TEST(StepRecorderTest, StepsAreTakenDownInOrderAndOnce) {
  FakeExecutor fake(SomePages());
  StepRecorder recorder(&fake);
  // The second goes out before the first has ended.
  ASSERT_TRUE(recorder.Start(PromptOf(20)).ok());
  ASSERT_TRUE(recorder.Start(NextOf(20)).ok());
  ASSERT_TRUE(recorder.Finish().ok());
  ASSERT_TRUE(recorder.Finish().ok());

  const std::vector<ServedStep> steps = recorder.Take();
  ASSERT_EQ(steps.size(), 2);
  EXPECT_EQ(steps[0].tokens(), 20);
  EXPECT_FALSE(steps[0].only_decodes());
  EXPECT_EQ(steps[0].slices[0].head_rows, 1);
  EXPECT_EQ(steps[1].slices[0].start, 20);
  EXPECT_TRUE(steps[1].only_decodes());
  EXPECT_EQ(steps[1].begin, steps[0].end);
  EXPECT_LE(steps[1].begin, steps[1].end);
  EXPECT_TRUE(recorder.Take().empty());
}

TEST(StepRecorderTest, AStepThatFailsIsPassedOnAndNotTakenDown) {
  FakeExecutorOptions options = SomePages();
  options.before_step = [](const StepPlan&) {
    return absl::UnavailableError("gone");
  };
  FakeExecutor fake(options);
  StepRecorder recorder(&fake);
  EXPECT_EQ(recorder.Start(PromptOf(20)).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_TRUE(recorder.Take().empty());
}

}  // namespace
}  // namespace facet
