#include "scheduler/batching/scheduler.h"

#include <map>
#include <random>

#include "gtest/gtest.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 97;

std::vector<int32_t> RandomPrompt(std::mt19937* random, int64_t length) {
  std::vector<int32_t> prompt(length);
  for (int32_t& token : prompt) token = (*random)() % kVocab;
  return prompt;
}

// The answer when the request has the model to itself.
std::vector<int32_t> AnswerAlone(const SequenceRequest& request) {
  std::vector<int32_t> tokens = request.prompt;
  std::vector<int32_t> answer;
  while (static_cast<int64_t>(answer.size()) < request.max_tokens) {
    answer.push_back(FakeExecutor::NextToken(tokens, kVocab));
    tokens.push_back(answer.back());
    if (std::count(request.stop_ids.begin(), request.stop_ids.end(),
                   answer.back()) > 0) {
      break;
    }
  }
  return answer;
}

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

// One request as the test sees it.
struct Expected {
  SequenceRequest request;
  std::vector<int32_t> tokens;
  int64_t logits_rows = 0;
  bool cancelled = false;
  int ends = 0;
};

TEST(SchedulerTest, EveryRequestEndsOnceWithItsOwnTokensHoweverBatched) {
  for (int run = 0; run < 3000; ++run) {
    SCOPED_TRACE(testing::Message() << "run (and seed) " << run);
    std::mt19937 random(run);
    SchedulerLimits limits;
    limits.pools.page_tokens = 1 + random() % 8;
    limits.sliding_window = 1 + random() % 24;
    limits.pools.global_pages = 1 + random() % 40;
    limits.pools.sliding_pages = 1 + random() % 40;
    limits.vocab_size = kVocab;
    limits.max_positions = 20 + random() % 80;
    limits.max_step_tokens = 1 + random() % 20;
    limits.max_sequences = 1 + random() % 6;
    limits.max_logits_rows = 1 + random() % 5;
    Scheduler scheduler(limits);
    FakeExecutor executor = ExecutorFor(limits);

    std::map<uint64_t, Expected> all;
    size_t to_add = 1 + random() % 12;
    size_t over = 0;
    uint64_t next_id = 0;
    const auto cancel_one = [&] {
      auto one = all.begin();
      std::advance(one, random() % all.size());
      scheduler.Cancel(SequenceId{one->first});
      if (one->second.ends == 0 && !one->second.cancelled) {
        one->second.cancelled = true;
        ++over;
      }
    };
    for (int step = 0; to_add > 0 || over < all.size(); ++step) {
      ASSERT_LT(step, 20000) << "starved";
      while (to_add > 0 && random() % 3 == 0) {
        --to_add;
        SequenceRequest request;
        request.prompt = RandomPrompt(&random, 1 + random() % 30);
        request.max_tokens = 1 + random() % 20;
        request.prompt_logits = random() % 6 == 0;
        if (random() % 2 == 0) request.stop_ids = {int32_t(random() % kVocab)};
        if (!scheduler.Check(request).ok()) {
          ASSERT_GT(static_cast<int64_t>(request.prompt.size()),
                    scheduler.MostPositions());
          continue;
        }
        const SequenceId id = {++next_id};
        scheduler.Add(id, request);
        request.max_tokens = std::min<int64_t>(
            request.max_tokens,
            scheduler.MostPositions() - request.prompt.size() + 1);
        all[id.value].request = request;
      }
      if (!all.empty() && random() % 25 == 0) cancel_one();

      const std::optional<StepPlan> plan = scheduler.PlanStep();
      if (!plan.has_value()) {
        ASSERT_EQ(over, all.size()) << "idle with work left";
        continue;
      }
      absl::StatusOr<StepResult> result = executor.Execute(*plan);
      ASSERT_TRUE(result.ok()) << result.status();
      if (random() % 40 == 0) cancel_one();
      auto updates = scheduler.Apply(*std::move(result));
      ASSERT_TRUE(updates.ok()) << updates.status();
      for (const SequenceUpdate& update : *updates) {
        Expected& expected = all.at(update.sequence.value);
        ASSERT_FALSE(expected.cancelled);
        ASSERT_EQ(expected.ends, 0);
        if (update.token) expected.tokens.push_back(update.token->token);
        for (const LogitsBlock& block : update.logits) {
          ASSERT_EQ(block.first_position, expected.logits_rows);
          expected.logits_rows += block.rows;
        }
        if (update.end == SequenceEnd::kNotYet) continue;
        ++expected.ends;
        ++over;
      }
    }

    for (const auto& [id, expected] : all) {
      if (expected.cancelled) continue;
      ASSERT_EQ(expected.ends, 1);
      if (expected.request.prompt_logits) {
        EXPECT_TRUE(expected.tokens.empty());
        EXPECT_EQ(expected.logits_rows,
                  static_cast<int64_t>(expected.request.prompt.size()));
      } else {
        EXPECT_EQ(expected.tokens, AnswerAlone(expected.request));
      }
    }
    if (const std::optional<StepPlan> last = scheduler.PlanStep()) {
      ASSERT_TRUE(executor.Execute(*last).ok());
    }
    EXPECT_EQ(executor.sequences(), 0);
    EXPECT_EQ(executor.pages_held(), 0);
    EXPECT_EQ(scheduler.pages().sliding().free_pages(),
              limits.pools.sliding_pages);
    EXPECT_EQ(scheduler.pages().global().free_pages(),
              limits.pools.global_pages);
  }
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
