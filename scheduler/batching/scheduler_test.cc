#include "scheduler/batching/scheduler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 97;

class SchedulerTest : public testing::Test {
 protected:
  SchedulerTest() {
    limits_.pools = {.page_tokens = 4, .sliding_pages = 40, .global_pages = 60};
    limits_.vocab_size = kVocab;
    limits_.sliding_window = 10;
    limits_.max_positions = 1000;
    limits_.max_step_tokens = 16;
    limits_.max_sequences = 8;
  }

  // With what limits_ says at the first call.
  Scheduler& scheduler() {
    if (scheduler_ == nullptr) {
      scheduler_ = std::make_unique<Scheduler>(limits_);
      FakeExecutorOptions options;
      options.pools = limits_.pools;
      options.vocab_size = kVocab;
      options.sliding_window = limits_.sliding_window;
      options.max_step_tokens = limits_.max_step_tokens;
      options.stages = limits_.max_unapplied;
      executor_ = std::make_unique<FakeExecutor>(options);
    }
    return *scheduler_;
  }

  static SequenceRequest Prompt(std::vector<int32_t> tokens,
                                int64_t max_tokens = 5) {
    SequenceRequest request;
    request.prompt = std::move(tokens);
    request.max_tokens = max_tokens;
    return request;
  }
  static std::vector<int32_t> Count(int64_t length, int32_t first = 1) {
    std::vector<int32_t> tokens(length);
    for (int64_t i = 0; i < length; ++i) {
      tokens[i] = static_cast<int32_t>((first + i * i) % kVocab);
    }
    return tokens;
  }

  // Plans a step and hands it over; none: an empty plan.
  StepPlan Plan() {
    const std::optional<StepPlan> plan = scheduler().PlanStep();
    if (!plan.has_value()) return StepPlan();
    const absl::Status status = executor_->Start(*plan);
    EXPECT_TRUE(status.ok()) << status;
    return *plan;
  }
  std::vector<SequenceUpdate> Apply() {
    absl::StatusOr<StepResult> result = executor_->Finish();
    EXPECT_TRUE(result.ok()) << result.status();
    auto updates = scheduler().Apply(*std::move(result));
    EXPECT_TRUE(updates.ok()) << updates.status();
    for (const SequenceUpdate& update : *updates) {
      if (update.token.has_value()) {
        answers_[update.sequence.value].push_back(update.token->token);
      }
    }
    return *std::move(updates);
  }
  StepPlan Step() {
    const StepPlan plan = Plan();
    if (scheduler().unapplied() > 0) Apply();
    return plan;
  }
  void RunToTheEnd() {
    for (int i = 0; i < 10000 && Step().step > 0; ++i) {
    }
    EXPECT_EQ(scheduler().running(), 0);
    EXPECT_EQ(scheduler().waiting(), 0);
    EXPECT_EQ(executor_->pages_held(), 0);
  }

  static const SequenceSlice* SliceOf(const StepPlan& plan, uint64_t id) {
    for (const SequenceSlice& slice : plan.slices) {
      if (slice.sequence.value == id) return &slice;
    }
    return nullptr;
  }
  static std::vector<uint64_t> Ids(const StepPlan& plan) {
    std::vector<uint64_t> ids;
    for (const SequenceSlice& slice : plan.slices) {
      ids.push_back(slice.sequence.value);
    }
    return ids;
  }
  static std::vector<int32_t> AnswerAlone(const SequenceRequest& request) {
    std::vector<int32_t> tokens = request.prompt;
    for (int64_t i = 0; i < request.max_tokens; ++i) {
      tokens.push_back(FakeExecutor::NextToken(tokens, kVocab));
    }
    tokens.erase(tokens.begin(), tokens.begin() + request.prompt.size());
    return tokens;
  }

  using Ids_ = std::vector<uint64_t>;

  SchedulerLimits limits_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<FakeExecutor> executor_;
  std::map<uint64_t, std::vector<int32_t>> answers_;
};

// ---- A step.

TEST_F(SchedulerTest, DecodeGoesBeforePrefillInOneStep) {
  scheduler().Add({1}, Prompt({1, 2, 3}));
  Step();
  scheduler().Add({2}, Prompt(Count(40)));
  const StepPlan plan = Step();
  ASSERT_EQ(Ids(plan), (Ids_{1, 2}));
  EXPECT_EQ(plan.slices[0].tokens.size(), 1u);
  EXPECT_TRUE(plan.slices[0].sample);
  EXPECT_EQ(plan.slices[1].tokens.size(), 15u);
  EXPECT_FALSE(plan.slices[1].sample);
}

TEST_F(SchedulerTest, AShortPromptGetsItsFirstTokenWhileALongOneIsComputed) {
  scheduler().Add({1}, Prompt(Count(100)));
  scheduler().Add({2}, Prompt(Count(90, 2)));
  scheduler().Add({3}, Prompt(Count(6, 3)));
  const StepPlan plan = Step();
  ASSERT_EQ(Ids(plan), (Ids_{1, 2, 3}));
  EXPECT_EQ(plan.slices[0].tokens.size(), 8u);  // half of the step
  EXPECT_EQ(plan.slices[1].tokens.size(), 2u);
  EXPECT_TRUE(plan.slices[2].sample);
}

TEST_F(SchedulerTest, RowsOfLogitsOfOneStepAreBounded) {
  limits_.max_logits_rows = 5;
  for (const uint64_t id : {1, 2, 3}) {
    SequenceRequest request = Prompt(Count(9, static_cast<int32_t>(id)));
    request.prompt_logits = true;
    scheduler().Add({id}, request);
  }
  int64_t all = 0;
  while (scheduler().running() + scheduler().waiting() > 0) {
    Plan();
    int64_t rows = 0;
    for (const SequenceUpdate& update : Apply()) {
      for (const LogitsBlock& block : update.logits) rows += block.rows;
    }
    EXPECT_LE(rows, 5);
    EXPECT_GT(rows, 0);
    all += rows;
  }
  EXPECT_EQ(all, 27);
}

TEST_F(SchedulerTest, WorkersAreToldOfASequenceWithItsFirstSlice) {
  SequenceRequest request = Prompt(Count(20));
  request.min_tokens = 3;
  request.stop_ids = {9, 4, 500};
  request.logit_bias = {{7, 0.5f}};
  scheduler().Add({1}, request);
  const StepPlan first = Step();
  const SequenceStart& begins = first.slices.at(0).begins.value();
  EXPECT_EQ(begins.prompt_tokens, 20);
  EXPECT_TRUE(begins.earlier_tokens.empty());
  EXPECT_EQ(begins.logit_bias.at(0).token, 7);
  EXPECT_EQ(begins.late_tokens, (std::vector<int32_t>{4, 9}));
  EXPECT_EQ(begins.late_position, 23);
  EXPECT_FALSE(Step().slices.at(0).begins.has_value());
  RunToTheEnd();

  // Another one begins behind cached pages, and penalties want to know of them.
  request.sampling.presence_penalty = 1;
  scheduler().Add({2}, request);
  const SequenceSlice second = Step().slices.at(0);
  EXPECT_EQ(second.start, 16);
  EXPECT_EQ(second.begins.value().earlier_tokens,
            std::vector<int32_t>(request.prompt.begin(),
                                 request.prompt.begin() + 16));
}

// ---- Order.

TEST_F(SchedulerTest, ALargeRequestIsNotOvertakenForever) {
  limits_.pools.global_pages = 20;  // 80 positions
  scheduler().Add({1}, Prompt({1, 2, 3}, 10));
  scheduler().Add({2}, Prompt(Count(60), 10));
  bool large_ran = false;
  for (uint64_t step = 0; step < 30 && !large_ran; ++step) {
    // A stream of small ones that would all fit.
    scheduler().Add({3 + step}, Prompt({1, 2, 3}, 10));
    large_ran = SliceOf(Step(), 2) != nullptr;
  }
  EXPECT_TRUE(large_ran);
}

TEST_F(SchedulerTest, RequestsRunByRankAndOvertakeNoMoreThanTheirPriorityIs) {
  limits_.max_sequences = 1;  // so that beginning is being admitted
  std::mt19937 random(5);
  struct Waiting {
    int priority;
    int64_t arrival;
    int64_t overtaken;
  };
  std::map<uint64_t, Waiting> waiting;  // that have never begun
  int64_t most_overtaken = 0;
  for (uint64_t id = 1; id <= 600; ++id) {
    SequenceRequest request = Prompt({1}, 1 + random() % 2);
    request.priority = static_cast<int>(random() % 3) - 1;
    scheduler().Add({id}, request);
    waiting[id] = {request.priority, static_cast<int64_t>(id), 0};
    if (random() % 3 == 0) continue;  // they come faster than they go
    for (const SequenceSlice& slice : Step().slices) {
      const auto begun = waiting.find(slice.sequence.value);
      if (!slice.begins.has_value() || begun == waiting.end()) continue;
      const Waiting first = begun->second;
      waiting.erase(begun);
      for (auto& [other_id, other] : waiting) {
        const int64_t ahead =
            kPriorityStride * (other.priority - first.priority);
        ASSERT_LE(first.arrival, other.arrival + std::max<int64_t>(ahead, 0));
        if (first.arrival > other.arrival) ++other.overtaken;
        most_overtaken = std::max(most_overtaken, other.overtaken);
      }
    }
  }
  EXPECT_GT(most_overtaken, 0);
  EXPECT_LE(most_overtaken, kPriorityStride * 2);
}

TEST_F(SchedulerTest, AMoreUrgentRequestTakesThePlaceOfALessUrgentOne) {
  limits_.max_sequences = 2;
  scheduler().Add({1}, Prompt({1}, 30));
  SequenceRequest patient = Prompt({2}, 30);
  patient.priority = 1;
  scheduler().Add({2}, patient);
  Step();
  scheduler().Add({3}, Prompt({3}, 30));  // as urgent as the first
  const StepPlan plan = Step();
  EXPECT_EQ(Ids(plan), (Ids_{1, 3}));
  EXPECT_EQ(plan.finished, std::vector<SequenceId>{{2}});
  scheduler().Add({4}, Prompt({4}, 30));
  EXPECT_EQ(Ids(Step()), (Ids_{1, 3}));  // nobody yields to equals
  RunToTheEnd();
  EXPECT_EQ(answers_[2], AnswerAlone(patient));
  EXPECT_EQ(scheduler().stats().preemptions, 1);
}

TEST_F(SchedulerTest, NobodyYieldsWhereThatWouldNotMakeRoom) {
  limits_.pools.global_pages = 10;
  scheduler().Add({1}, Prompt(Count(24), 10));
  SequenceRequest patient = Prompt({2}, 10);
  patient.priority = 1;
  scheduler().Add({2}, patient);
  Step();
  scheduler().Add({3}, Prompt(Count(30, 7), 4));  // more than the first leaves
  Step();
  EXPECT_EQ(scheduler().stats().preemptions, 0);
  RunToTheEnd();
}

// ---- Memory.

TEST_F(SchedulerTest, ARequestIsAdmittedByWhatItHasNotByWhatItMayNeed) {
  limits_.pools.global_pages = 20;
  for (const uint64_t id : {1, 2, 3}) {
    scheduler().Add({id}, Prompt({static_cast<int32_t>(id), 5}, 50));
  }
  EXPECT_EQ(Ids(Step()), (Ids_{1, 2, 3}));  // 13 pages each in the end
}

TEST_F(SchedulerTest, TheLastInOrderGivesUpItsPagesAndLosesNoToken) {
  limits_.pools.global_pages = 20;
  std::vector<SequenceRequest> requests;
  for (const uint64_t id : {1, 2, 3}) {
    requests.push_back(Prompt({static_cast<int32_t>(id), 5}, 50));
    scheduler().Add({id}, requests.back());
  }
  std::vector<SequenceId> gave_up;
  while (scheduler().stats().preemptions < 2) {
    const StepPlan plan = Step();
    gave_up.insert(gave_up.end(), plan.finished.begin(), plan.finished.end());
  }
  EXPECT_EQ(gave_up, (std::vector<SequenceId>{{3}, {2}}));
  RunToTheEnd();
  for (const uint64_t id : {1, 2, 3}) {
    EXPECT_EQ(answers_[id], AnswerAlone(requests[id - 1]));
  }
}

TEST_F(SchedulerTest, ACancelledSequencesPagesAreFreeAtOnce) {
  limits_.max_unapplied = 2;
  scheduler().Add({1}, Prompt(Count(30), 30));
  for (int i = 0; i < 4; ++i) Step();
  Plan();
  EXPECT_GT(scheduler().stats().global.held, 0);
  scheduler().Cancel({1});
  EXPECT_EQ(scheduler().stats().global.held, 0);
  EXPECT_EQ(scheduler().stats().sliding.held, 0);
  EXPECT_TRUE(Apply().empty());
  RunToTheEnd();
}

TEST_F(SchedulerTest, AnAnswerIsCutToWhatMemoryAndContextLeave) {
  limits_.pools.global_pages = 5;  // 20 positions
  scheduler().Add({1}, Prompt({1, 2, 3}, 1000));
  RunToTheEnd();
  EXPECT_EQ(answers_[1].size(), 18u);  // the last is never fed back
}

// ---- Prefix cache.

TEST_F(SchedulerTest, APromptSeenBeforeIsComputedFromWhereItDiffers) {
  std::vector<int32_t> prompt = Count(30);
  scheduler().Add({1}, Prompt(prompt));
  RunToTheEnd();
  prompt[22] = 90;
  const SequenceRequest second = Prompt(prompt);
  scheduler().Add({2}, second);
  const StepPlan plan = Step();
  EXPECT_EQ(plan.slices.at(0).start, 20);
  EXPECT_EQ(plan.slices.at(0).tokens.size(), 10u);
  EXPECT_EQ(scheduler().stats().prefix_queries, 60);
  EXPECT_EQ(scheduler().stats().prefix_hits, 20);
  RunToTheEnd();
  EXPECT_EQ(answers_[2], AnswerAlone(second));
}

TEST_F(SchedulerTest, AConversationGoesOnFromItsLastAnswer) {
  const SequenceRequest first = Prompt(Count(10), 15);
  scheduler().Add({1}, first);
  RunToTheEnd();
  std::vector<int32_t> prompt = first.prompt;
  prompt.insert(prompt.end(), answers_[1].begin(), answers_[1].end());
  prompt.push_back(3);
  scheduler().Add({2}, Prompt(prompt));
  EXPECT_EQ(Step().slices.at(0).start, 24);
}

TEST_F(SchedulerTest, AWholePromptIsNeverShared) {
  scheduler().Add({1}, Prompt(Count(12), 1));
  RunToTheEnd();
  scheduler().Add({2}, Prompt(Count(12), 1));
  EXPECT_EQ(Step().slices.at(0).start, 8);  // its last token draws the next
}

TEST_F(SchedulerTest, PrefixesAreSharedWithinEqualSaltsOnly) {
  SequenceRequest request = Prompt(Count(30));
  scheduler().Add({1}, request);
  RunToTheEnd();
  request.cache_salt = "tenant";
  scheduler().Add({2}, request);
  EXPECT_EQ(Step().slices.at(0).start, 0);
  RunToTheEnd();
  scheduler().Add({3}, request);
  EXPECT_EQ(Step().slices.at(0).start, 28);
}

TEST_F(SchedulerTest, RowsOfAPromptAreComputedThoughThePromptIsCached) {
  SequenceRequest request = Prompt(Count(30));
  scheduler().Add({1}, request);
  RunToTheEnd();
  request.prompt_logprobs = 2;
  scheduler().Add({2}, request);
  EXPECT_EQ(Step().slices.at(0).start, 0);
}

TEST_F(SchedulerTest, RequestsThatWaitTogetherShareOnceOneHasComputed) {
  for (const uint64_t id : {1, 2, 3, 4}) {
    std::vector<int32_t> prompt = Count(60);
    prompt.push_back(static_cast<int32_t>(id));
    scheduler().Add({id}, Prompt(prompt));
  }
  RunToTheEnd();
  EXPECT_GE(scheduler().stats().prefix_hits, 2 * 40);
}

TEST_F(SchedulerTest, SamplesOfOnePromptWaitForItAndBlockNobody) {
  limits_.prefix_cache = false;
  SequenceRequest request = Prompt(Count(30), 10);
  scheduler().Add({1}, request);
  request.sibling = SequenceId{1};
  scheduler().Add({2}, request);
  scheduler().Add({3}, Prompt(Count(30), 10));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Ids(Step()), (Ids_{1, 3}));
  const StepPlan plan = Step();
  EXPECT_EQ(Ids(plan), (Ids_{1, 2, 3}));
  EXPECT_EQ(SliceOf(plan, 2)->start, 28);
  RunToTheEnd();
  EXPECT_EQ(answers_[2], answers_[1]);
  // Strangers share nothing without a prefix cache.
  scheduler().Add({4}, Prompt(Count(30), 10));
  EXPECT_EQ(Step().slices.at(0).start, 0);
}

TEST_F(SchedulerTest, ASampleWhoseSiblingHasEndedStartsAlone) {
  SequenceRequest request = Prompt(Count(30), 3);
  scheduler().Add({1}, request);
  request.sibling = SequenceId{1};
  scheduler().Add({2}, request);
  Step();
  scheduler().Cancel({1});
  EXPECT_EQ(Ids(Step()), (Ids_{2}));
  request.sibling = SequenceId{77};  // long gone
  scheduler().Add({3}, request);
  RunToTheEnd();
  EXPECT_EQ(answers_[3].size(), 3u);
}

// ---- Pipelining.

TEST_F(SchedulerTest, StepsArePlannedBeforeTheTokensOfTheLastAreKnown) {
  limits_.max_unapplied = 3;
  const SequenceRequest request = Prompt({1, 2}, 4);
  scheduler().Add({1}, request);
  EXPECT_EQ(Plan().slices.at(0).tokens, request.prompt);
  EXPECT_EQ(Plan().slices.at(0).tokens, std::vector<int32_t>{kSampledToken});
  const StepPlan third = Plan();
  EXPECT_EQ(third.slices.at(0).start, 3);
  EXPECT_EQ(third.completed, 0u);
  Apply();
  EXPECT_EQ(Plan().completed, 1u);
  Apply();
  EXPECT_EQ(Plan().step, 0u);  // max_tokens are drawn or on their way
  Apply();
  Apply();
  EXPECT_EQ(answers_[1], AnswerAlone(request));
  RunToTheEnd();
}

TEST_F(SchedulerTest, WhatWasPlannedBehindAStopIsDropped) {
  limits_.max_unapplied = 2;
  SequenceRequest request = Prompt({1, 2}, 10);
  request.stop_ids = {AnswerAlone(request)[1]};
  scheduler().Add({1}, request);
  Plan();
  std::vector<SequenceUpdate> last;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Plan().slices.size(), 1u);
    last = Apply();
  }
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].end, SequenceEnd::kStop);
  EXPECT_EQ(Plan().step, 0u);
  EXPECT_TRUE(Apply().empty());
  RunToTheEnd();
}

TEST_F(SchedulerTest, ABatchWithAMaskedSequenceStaysTogether) {
  limits_.max_unapplied = 2;
  auto mask = std::make_shared<TokenMask>(2, ~uint64_t{0});
  SequenceRequest masked = Prompt({3}, 10);
  masked.masked = true;
  scheduler().Add({1}, Prompt({1, 2}, 10));
  scheduler().Add({2}, masked);
  EXPECT_EQ(Ids(Plan()), (Ids_{1}));  // no mask yet
  scheduler().SetMask({2}, mask);
  EXPECT_EQ(Ids(Plan()), (Ids_{1, 2}));
  Apply();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Plan().step, 0u) << "the first goes on alone";
    Apply();
    scheduler().SetMask({2}, mask);
    const StepPlan plan = Plan();
    EXPECT_EQ(Ids(plan), (Ids_{1, 2}));
    EXPECT_EQ(SliceOf(plan, 2)->mask, mask);
    EXPECT_NE(SliceOf(plan, 2)->tokens[0], kSampledToken);
  }
}

TEST_F(SchedulerTest, AMaskThatIsLateHoldsUpNobodyElse) {
  limits_.max_unapplied = 2;
  SequenceRequest masked = Prompt(Count(12), 10);
  masked.masked = true;
  scheduler().Add({1}, Prompt({1, 2}, 10));
  scheduler().Add({2}, masked);
  const StepPlan first = Plan();
  EXPECT_EQ(Ids(first), (Ids_{1, 2}));
  EXPECT_EQ(SliceOf(first, 2)->tokens.size(), 11u);  // all but what would draw
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ids(Plan()), (Ids_{1}));
    Apply();
  }
}

TEST_F(SchedulerTest, MicroBatchesTakeTurns) {
  limits_.micro_batches = 2;
  limits_.max_unapplied = 3;
  for (const uint64_t id : {1, 2, 3, 4}) {
    scheduler().Add({id}, Prompt({static_cast<int32_t>(id)}, 20));
  }
  EXPECT_EQ(Ids(Plan()), (Ids_{1, 2, 3, 4}));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ids(Plan()), (Ids_{1, 3}));
    EXPECT_EQ(Ids(Plan()), (Ids_{2, 4}));
    Apply();
    Apply();
  }
  // Micro-batches stay even as sequences come and go.
  scheduler().Cancel({1});
  scheduler().Cancel({3});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ids(Plan()), (Ids_{4}));
    EXPECT_EQ(Ids(Plan()), (Ids_{2}));
    Apply();
    Apply();
  }
  // One alone need not wait for the turn of others that have nothing to do.
  scheduler().Cancel({2});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ids(Plan()), (Ids_{4}));
    Apply();
  }
}

TEST_F(SchedulerTest, PrefillGoesInEveryStepWhateverItsMicroBatch) {
  limits_.micro_batches = 2;
  limits_.max_unapplied = 3;
  scheduler().Add({1}, Prompt({1}, 20));
  Plan();
  scheduler().Add({2}, Prompt(Count(60), 20));
  EXPECT_EQ(Ids(Plan()), (Ids_{1, 2}));
  EXPECT_EQ(Ids(Plan()), (Ids_{1, 2}));
}

TEST_F(SchedulerTest, ARestartComputesEverythingAnewInOrder) {
  limits_.max_unapplied = 2;
  std::vector<SequenceRequest> requests;
  for (const uint64_t id : {1, 2}) {
    requests.push_back(Prompt(Count(10, static_cast<int32_t>(id)), 10));
    scheduler().Add({id}, requests.back());
  }
  for (int i = 0; i < 4; ++i) Step();
  Plan();
  scheduler().Restart();
  executor_->Reset();
  EXPECT_EQ(scheduler().unapplied(), 0);
  EXPECT_EQ(scheduler().stats().global.held, 0);
  EXPECT_EQ(scheduler().stats().global.cached, 0);
  const StepPlan plan = Step();
  EXPECT_EQ(Ids(plan), (Ids_{1, 2}));
  EXPECT_EQ(plan.slices[0].start, 0);
  EXPECT_TRUE(plan.finished.empty());
  EXPECT_EQ(plan.completed, plan.step - 1);
  RunToTheEnd();
  EXPECT_EQ(answers_[1], AnswerAlone(requests[0]));
  EXPECT_EQ(answers_[2], AnswerAlone(requests[1]));
}

// ---- What is refused.

TEST_F(SchedulerTest, RefusalsNameTheFieldAndTheLimit) {
  SequenceRequest request;
  const auto message = [&] {
    const absl::Status status = scheduler().Check(request);
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
  EXPECT_TRUE(scheduler().Check(request).ok());
  request.prompt_logits = false;
  request.prompt_logprobs = 0;
  EXPECT_TRUE(scheduler().Check(request).ok());
  request.prompt_logprobs = 65;
  EXPECT_NE(message().find("prompt_logprobs: 65"), std::string::npos);
  request.prompt_logprobs = -1;
  request.max_tokens = 4;
  request.min_tokens = 5;
  EXPECT_NE(message().find("0 to max_tokens, which is 4"), std::string::npos);
  request.min_tokens = 4;
  request.priority = -101;
  EXPECT_NE(message().find("priority: -101"), std::string::npos);
  request.priority = 100;
  request.logit_bias = {{3, 1.0f}, {97, 1.0f}};
  EXPECT_NE(message().find("logit_bias: token id 97"), std::string::npos);
  request.logit_bias = {{3, 1.0f}, {3, 2.0f}};
  EXPECT_NE(message().find("named twice"), std::string::npos);
  request.logit_bias = {{3, std::nanf("")}};
  EXPECT_NE(message().find("finite"), std::string::npos);
  request.logit_bias = {{3, 1.0f}};
  EXPECT_TRUE(scheduler().Check(request).ok());
}

TEST_F(SchedulerTest, AResultThatDoesNotAnswerThePlanIsAnError) {
  const auto apply = [this](auto change) {
    scheduler_.reset();
    SequenceRequest request = Prompt({1, 2});
    request.prompt_logprobs = 1;
    scheduler().Add({1}, request);
    StepResult result = *executor_->Execute(*scheduler().PlanStep());
    change(&result);
    return scheduler().Apply(std::move(result)).status();
  };
  EXPECT_TRUE(apply([](StepResult*) {}).ok());
  const auto is_refused = [&](auto change) {
    EXPECT_EQ(apply(change).code(), absl::StatusCode::kInternal);
  };
  is_refused([](StepResult* r) { r->step = 9; });
  is_refused([](StepResult* r) { r->tokens.clear(); });
  is_refused([](StepResult* r) { r->tokens.push_back(r->tokens[0]); });
  is_refused([](StepResult* r) { r->tokens[0].token = kVocab; });
  is_refused([](StepResult* r) { r->tokens[0].sequence = {77}; });
  is_refused([](StepResult* r) { r->logits.emplace_back().sequence = {1}; });
  is_refused([](StepResult* r) { r->prompt_logprobs.clear(); });
  is_refused([](StepResult* r) { r->prompt_logprobs[0].position = 2; });
  is_refused([](StepResult* r) {
    r->prompt_logprobs.push_back(r->prompt_logprobs[0]);
  });
}

}  // namespace
}  // namespace facet
