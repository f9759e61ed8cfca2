#include "scheduler/simulate/simulation.h"

#include "gtest/gtest.h"
#include "scheduler/simulate/generated_workload.h"

namespace facet {
namespace {

// A second for every step, nothing for what is in it.
SimulationOptions OneSecondSteps() {
  SimulationOptions options;
  options.machine.bytes_per_s = 1;
  options.machine.flops_per_s = 1;
  options.machine.step_s = 1;
  options.limits.pools = {4, 100, 100};
  options.limits.vocab_size = 1000;
  options.limits.sliding_window = 8;
  options.limits.max_positions = 200;
  options.limits.max_step_tokens = 16;
  options.limits.max_sequences = 4;
  return options;
}

SimRequest Request(double arrival_s, int64_t prompt, int64_t output) {
  SimRequest request;
  request.arrival_s = arrival_s;
  request.prompt_tokens = prompt;
  request.output_tokens = output;
  return request;
}

SimulationReport MustSimulate(const SimulationOptions& options,
                              SimulationObserver* observer = nullptr) {
  const absl::StatusOr<SimulationReport> report = Simulate(options, observer);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : SimulationReport();
}

TEST(SimulationTest, AnAnswerTakesItsStepsAndNoMore) {
  SimulationOptions options = OneSecondSteps();
  options.machine.round_trip_s = 0.25;
  // 40 tokens in chunks of 16 are three steps; the third draws the first token.
  options.workload.requests = {Request(10, 40, 5)};
  const SimulationReport report = MustSimulate(options);
  EXPECT_EQ(report.requests, 1);
  EXPECT_EQ(report.completed, 1);
  EXPECT_EQ(report.prompt_tokens, 40);
  EXPECT_EQ(report.output_tokens, 5);
  EXPECT_EQ(report.computed_tokens, 44);
  EXPECT_EQ(report.queue_s.max, 0);
  EXPECT_FLOAT_EQ(report.first_token_s.max, 3 * 1.25);
  EXPECT_FLOAT_EQ(report.inter_token_s.p50, 1.25);
  EXPECT_FLOAT_EQ(report.end_to_end_s.max, 7 * 1.25);
  EXPECT_EQ(report.prefill_steps, 3);
  EXPECT_EQ(report.decode_steps, 4);
}

TEST(SimulationTest, StepsThatAreAheadHideTheRoundTrip) {
  SimulationOptions options = OneSecondSteps();
  options.machine.round_trip_s = 0.25;
  options.limits.max_unapplied = 2;
  options.workload.requests = {Request(0, 10, 21)};
  const SimulationReport report = MustSimulate(options);
  EXPECT_EQ(report.output_tokens, 21);
  EXPECT_FLOAT_EQ(report.inter_token_s.p50, 1);
  EXPECT_FLOAT_EQ(report.end_to_end_s.max, 21.25);
}

TEST(SimulationTest, TwoMicroBatchesKeepTwoStagesBusy) {
  SimulationOptions options = OneSecondSteps();
  options.stages = 2;
  options.limits.micro_batches = 2;
  options.limits.max_unapplied = 3;
  for (int i = 0; i < 4; ++i) {
    options.workload.requests.push_back(Request(0, 4, 100));
  }
  const SimulationReport report = MustSimulate(options);
  EXPECT_EQ(report.output_tokens, 400);
  // Each sequence draws every other second, and there are two batches of them.
  EXPECT_GT(report.stage_busy, 0.95);
  EXPECT_LT(report.simulated_s, 210);
}

TEST(SimulationTest, AnAnswerThatEndsUnforeseenIsCutThere) {
  SimulationOptions options = OneSecondSteps();
  options.limits.max_unapplied = 2;
  SimRequest request = Request(0, 10, 5);
  request.max_tokens = 50;
  options.workload.requests = {request};
  const SimulationReport report = MustSimulate(options);
  EXPECT_EQ(report.completed, 1);
  EXPECT_EQ(report.output_tokens, 5);
  EXPECT_EQ(report.computed_tokens, 10 + 4 + 1);  // one step was ahead
}

TEST(SimulationTest, EveryRequestIsCountedOnce) {
  SimulationOptions options = OneSecondSteps();
  options.most_waiting = 8;
  std::vector<SimRequest>& requests = options.workload.requests;
  for (int i = 0; i < 12; ++i) requests.push_back(Request(1, 30, 20));
  requests.push_back(Request(0, 300, 1));  // longer than the context
  requests[0].cancel_after_s = 3;
  requests[1].deadline_s = 4;
  options.end_s = 30;
  const SimulationReport report = MustSimulate(options);
  EXPECT_EQ(report.requests, 13);
  EXPECT_EQ(report.refused, 1);
  EXPECT_EQ(report.cancelled, 1);
  EXPECT_EQ(report.expired, 1);
  EXPECT_EQ(report.turned_away, 4);
  EXPECT_GT(report.unfinished, 0);
  EXPECT_EQ(report.completed + report.unfinished, 13 - 1 - 1 - 1 - 4);
  EXPECT_EQ(report.simulated_s, 30);
}

TEST(SimulationTest, AFailureCostsTimeAndNoToken) {
  SimulationOptions options = OneSecondSteps();
  options.workload.requests = {Request(0, 16, 10), Request(0, 16, 10)};
  const SimulationReport calm = MustSimulate(options);
  options.workload.failures = {{4.5, 20}};
  const SimulationReport rough = MustSimulate(options);
  EXPECT_EQ(rough.failures, 1);
  EXPECT_EQ(rough.completed, 2);
  EXPECT_EQ(rough.output_tokens, calm.output_tokens);
  EXPECT_GT(rough.simulated_s, calm.simulated_s + 20);
}

TEST(SimulationTest, ATurnBeginsWithTheConversationSoFar) {
  struct Watch : SimulationObserver {
    absl::Status OnAdd(const SimSequence& sequence,
                       const SequenceRequest& request) override {
      EXPECT_EQ(sequence.prompt, request.prompt);
      prompts.push_back(sequence.prompt);
      return absl::OkStatus();
    }
    absl::Status OnUpdate(const SimSequence& sequence,
                          const SequenceUpdate&) override {
      last_answer = sequence.answer;
      if (sequence.request == 0) first_answer = sequence.answer;
      return absl::OkStatus();
    }
    std::vector<std::vector<int32_t>> prompts;
    std::vector<int32_t> first_answer, last_answer;
  } watch;
  SimulationOptions options = OneSecondSteps();
  SimRequest turn = Request(0, 20, 6);
  turn.conversation = "a";
  options.workload.requests = {turn, turn};
  options.workload.requests[1].think_s = 30;
  options.workload.requests[1].prompt_tokens = 3;  // fewer than there are
  const SimulationReport report = MustSimulate(options, &watch);
  EXPECT_EQ(report.completed, 2);
  ASSERT_EQ(watch.prompts.size(), 2u);
  EXPECT_EQ(watch.prompts[0].size(), 20u);
  std::vector<int32_t> expected = watch.prompts[0];
  expected.insert(expected.end(), watch.first_answer.begin(),
                  watch.first_answer.end());
  ASSERT_EQ(watch.prompts[1].size(), 27u);
  watch.prompts[1].pop_back();
  EXPECT_EQ(watch.prompts[1], expected);
  // The first turn takes 7 steps, the second one at least 6.
  EXPECT_GE(report.simulated_s, 7 + 30 + 6);
}

TEST(SimulationTest, RequestsShareExactlyTheirPrefix) {
  struct Watch : SimulationObserver {
    absl::Status OnAdd(const SimSequence& sequence,
                       const SequenceRequest&) override {
      prompts.push_back(sequence.prompt);
      return absl::OkStatus();
    }
    std::vector<std::vector<int32_t>> prompts;
  } watch;
  SimulationOptions options = OneSecondSteps();
  for (const char* prefix : {"a", "a", "b"}) {
    SimRequest request = Request(0, 20, 1);
    request.prefix = prefix;
    request.prefix_tokens = 12;
    options.workload.requests.push_back(request);
  }
  MustSimulate(options, &watch);
  const auto shared = [&](int a, int b) {
    const auto& x = watch.prompts[a];
    return std::mismatch(x.begin(), x.end(), watch.prompts[b].begin()).first -
           x.begin();
  };
  EXPECT_EQ(shared(0, 1), 12);
  EXPECT_LT(shared(0, 2), 12);
}

TEST(SimulationTest, SeedsRepeatAllButMeasuredTimes) {
  WorkloadShape shape;
  shape.rate = 0.3;
  shape.duration_s = 200;
  shape.length_scale = 0.2;
  shape.next_turn = 0.5;
  shape.cancelled = 0.2;
  shape.failure_every_s = 100;
  shape.most_output_tokens = 60;
  shape.most_prompt_tokens = 100;
  SimulationOptions options = OneSecondSteps();
  options.limits.max_positions = 400;
  options.limits.max_sequences = 16;
  options.workload = GenerateWorkload(shape);
  SimulationReport once = MustSimulate(options);
  SimulationReport again = MustSimulate(options);
  EXPECT_GT(once.completed, 30);
  once.scheduler_us = again.scheduler_us = {};
  EXPECT_EQ(ToJson(once), ToJson(again));
}

// What runs is checked all the time: see that it would be noticed.
TEST(SimulationTest, FaultsAreFound) {
  SimulationOptions options = OneSecondSteps();
  options.workload.requests = {Request(0, 20, 10), Request(0, 20, 10)};

  struct LosesAToken : SimulationObserver {
    absl::Status OnResult(StepResult* result) override {
      if (result->step == 4) result->tokens.pop_back();
      return absl::OkStatus();
    }
  } loses;
  EXPECT_FALSE(Simulate(options, &loses).ok());

  struct GivesAPageTwice : SimulationObserver {
    absl::Status OnPlan(StepPlan* plan, const Scheduler&) override {
      for (SequenceSlice& slice : plan->slices) {
        for (PageId& page : slice.new_global_pages) page.value = 0;
      }
      return absl::OkStatus();
    }
  } gives;
  EXPECT_FALSE(Simulate(options, &gives).ok());
}

TEST(SimulationTest, AnObserversErrorEndsTheRunAndSaysWhen) {
  struct Stops : SimulationObserver {
    absl::Status AfterEvents(double now_s,
                             const Scheduler& scheduler) override {
      if (now_s < 3 || scheduler.running() == 0) return absl::OkStatus();
      return absl::CancelledError("enough");
    }
  } stops;
  SimulationOptions options = OneSecondSteps();
  options.workload.requests = {Request(0, 20, 10)};
  const absl::Status status = Simulate(options, &stops).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(status.message(), "at 3 s: enough");
}

}  // namespace
}  // namespace facet
