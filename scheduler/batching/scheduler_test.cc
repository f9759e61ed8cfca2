#include "scheduler/batching/scheduler.h"

#include "gtest/gtest.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 97;

SchedulerLimits SmallLimits() {
  SchedulerLimits limits;
  limits.pools = {.page_tokens = 4, .sliding_pages = 40, .global_pages = 60};
  limits.vocab_size = kVocab;
  limits.sliding_window = 10;
  limits.max_positions = 1000;
  limits.max_step_tokens = 16;
  limits.max_sequences = 8;
  return limits;
}

FakeExecutor ExecutorFor(const SchedulerLimits& limits) {
  FakeExecutorOptions options;
  options.pools = limits.pools;
  options.vocab_size = kVocab;
  options.sliding_window = limits.sliding_window;
  options.max_step_tokens = limits.max_step_tokens;
  return FakeExecutor(options);
}

TEST(SchedulerTest, DecodeGoesBeforePrefillInOneStep) {
  const SchedulerLimits limits = SmallLimits();
  Scheduler scheduler(limits);
  FakeExecutor executor = ExecutorFor(limits);
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.max_tokens = 5;
  const SequenceId first = {1};
  scheduler.Add(first, request);
  ASSERT_TRUE(scheduler.Apply(*executor.Execute(*scheduler.PlanStep())).ok());

  request.prompt.assign(40, 7);
  const SequenceId second = {2};
  scheduler.Add(second, request);
  const StepPlan plan = *scheduler.PlanStep();
  ASSERT_EQ(plan.slices.size(), 2u);
  EXPECT_EQ(plan.slices[0].sequence, first);
  EXPECT_EQ(plan.slices[0].tokens.size(), 1u);
  EXPECT_TRUE(plan.slices[0].sample);
  EXPECT_EQ(plan.slices[1].sequence, second);
  EXPECT_EQ(plan.slices[1].tokens.size(), 15u);
  EXPECT_FALSE(plan.slices[1].sample);
}

TEST(SchedulerTest, ALargeRequestIsNotOvertakenForever) {
  SchedulerLimits limits = SmallLimits();
  limits.pools.global_pages = 20;  // 80 positions
  Scheduler scheduler(limits);
  FakeExecutor executor = ExecutorFor(limits);
  SequenceRequest small;
  small.prompt = {1, 2, 3};
  small.max_tokens = 10;
  SequenceRequest large;
  large.prompt.assign(60, 5);
  large.max_tokens = 10;
  const SequenceId large_id = {2};
  scheduler.Add(SequenceId{1}, small);
  scheduler.Add(large_id, large);

  bool large_ran = false;
  for (uint64_t step = 0; step < 30 && !large_ran; ++step) {
    scheduler.Add(SequenceId{3 + step},
                  small);  // a stream of small ones that would all fit
    const StepPlan plan = *scheduler.PlanStep();
    for (const SequenceSlice& slice : plan.slices) {
      large_ran |= slice.sequence == large_id;
    }
    ASSERT_TRUE(scheduler.Apply(*executor.Execute(plan)).ok());
  }
  EXPECT_TRUE(large_ran);
}

TEST(SchedulerTest, RefusalsNameTheFieldAndTheLimit) {
  const Scheduler scheduler(SmallLimits());
  SequenceRequest request;
  const auto message = [&] {
    const absl::Status status = scheduler.Check(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(message().find("prompt: empty"), std::string::npos);
  request.prompt = {1, 97};
  EXPECT_NE(message().find("prompt[1]: token id 97"), std::string::npos);
  request.prompt = {-1};
  EXPECT_NE(message().find("ids 0 to 96"), std::string::npos);
  request.prompt.assign(241, 1);  // 60 pages of 4 tokens hold 240
  EXPECT_NE(message().find("KV memory holds 240"), std::string::npos);
  request.prompt.assign(1001, 1);
  EXPECT_NE(message().find("context is 1000"), std::string::npos);
  request.prompt = {1};
  request.max_tokens = 0;
  EXPECT_NE(message().find("max_tokens"), std::string::npos);
  request.prompt_logits = true;
  EXPECT_TRUE(scheduler.Check(request).ok());
}

TEST(SchedulerTest, AResultThatDoesNotAnswerThePlanIsAnError) {
  const auto apply = [](auto change) {
    Scheduler scheduler(SmallLimits());
    FakeExecutor executor = ExecutorFor(SmallLimits());
    SequenceRequest request;
    request.prompt = {1, 2};
    scheduler.Add(SequenceId{1}, request);
    StepResult result = *executor.Execute(*scheduler.PlanStep());
    change(&result);
    return scheduler.Apply(result).status();
  };
  EXPECT_TRUE(apply([](StepResult*) {}).ok());
  EXPECT_FALSE(apply([](StepResult* r) { r->step = 9; }).ok());
  EXPECT_FALSE(apply([](StepResult* r) { r->tokens.clear(); }).ok());
  EXPECT_FALSE(
      apply([](StepResult* r) { r->tokens.push_back(r->tokens[0]); }).ok());
  EXPECT_FALSE(apply([](StepResult* r) { r->tokens[0].token = kVocab; }).ok());
  EXPECT_FALSE(apply([](StepResult* r) {
                 r->tokens[0].sequence = SequenceId{77};
               }).ok());
  EXPECT_FALSE(apply([](StepResult* r) {
                 r->logits.emplace_back().sequence = SequenceId{1};
               }).ok());
}

}  // namespace
}  // namespace facet
