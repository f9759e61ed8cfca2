#include "scheduler/simulate/pipeline_clock.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

// Every stage takes one second for a step, whatever is in it.
PipelineClock OneSecondStages(int stages) {
  MachineFigures machine;
  machine.bytes_per_s = 1;
  machine.flops_per_s = 1;
  machine.step_s = 1;
  return PipelineClock(ModelFigures(), machine, stages);
}

StepPlan Decode(uint64_t sequence, int32_t token) {
  StepPlan plan;
  SequenceSlice slice;
  slice.sequence = {sequence};
  slice.tokens = {token};
  slice.sample = true;
  plan.slices.push_back(std::move(slice));
  return plan;
}

TEST(PipelineClockTest, StagesWorkOnDifferentStepsAtOnce) {
  PipelineClock clock = OneSecondStages(3);
  EXPECT_EQ(clock.Run(Decode(1, 5), 10), 13);
  EXPECT_EQ(clock.Run(Decode(2, 5), 10), 14);
  EXPECT_EQ(clock.Run(Decode(3, 5), 10), 15);
  EXPECT_EQ(clock.BusySeconds(15), 9);
  EXPECT_EQ(clock.BusySeconds(12.5), 2.5 + 1.5 + 0.5);
}

TEST(PipelineClockTest, APlaceholderWaitsForItsTokenInFrontOfTheFirstStage) {
  PipelineClock clock = OneSecondStages(3);
  EXPECT_EQ(clock.Run(Decode(1, 5), 0), 3);
  EXPECT_EQ(clock.Run(Decode(1, kSampledToken), 0), 6);
  EXPECT_EQ(clock.Run(Decode(2, 5), 0), 7);  // steps keep their order
}

TEST(PipelineClockTest, OneStageIsNeverIdleWhilePlansAreAhead) {
  PipelineClock clock = OneSecondStages(1);
  EXPECT_EQ(clock.Run(Decode(1, 5), 0), 1);
  EXPECT_EQ(clock.Run(Decode(1, kSampledToken), 0.5), 2);
  EXPECT_EQ(clock.Run(Decode(1, kSampledToken), 5), 6);
}

TEST(PipelineClockTest, NewWorkersHaveNothingUnderWay) {
  PipelineClock clock = OneSecondStages(2);
  clock.Run(Decode(1, 5), 0);
  clock.Run(Decode(2, 5), 0);
  clock.Reset(1.5);
  EXPECT_EQ(clock.BusySeconds(100), 2);  // 1.5 and 0.5
  EXPECT_EQ(clock.Run(Decode(1, 5), 1.5), 3.5);
  EXPECT_EQ(clock.BusySeconds(100), 4);
}

}  // namespace
}  // namespace facet
