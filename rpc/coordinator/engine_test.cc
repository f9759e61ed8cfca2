#include "rpc/coordinator/engine.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <regex>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/coordinator/retry_after.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

const Tokenizer& TestTokenizer() {
  static const Tokenizer& tokenizer = []() -> const Tokenizer& {
    auto loaded = Tokenizer::Load("tests/testdata/tokenizer");
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *loaded->release();
  }();
  return tokenizer;
}

// What a request brought, and a future that is ready at its end.
struct Outcome {
  std::vector<int32_t> tokens;
  std::string text;
  int64_t logits_rows = 0;
  FinishReason finish = FinishReason::kNone;
  absl::Status status;
  int finishes = 0;
  int events = 0;
  std::promise<void> ended;

  void Add(GenerateEvent event) {
    ++events;
    for (const SampledToken& token : event.tokens) {
      tokens.push_back(token.token);
    }
    for (const LogitsBlock& block : event.logits) logits_rows += block.rows;
    text += event.text;
    if (event.finish == FinishReason::kNone) return;
    finish = event.finish;
    status = event.status;
    if (++finishes == 1) ended.set_value();
  }
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    model_.vocab_size = TestTokenizer().vocab_size();
    model_.sliding_window = 12;
    model_.max_position_embeddings = 500;
    fake_.pools = {.page_tokens = 4, .sliding_pages = 60, .global_pages = 100};
    fake_.vocab_size = model_.vocab_size;
    fake_.sliding_window = model_.sliding_window;
    limits_.max_step_tokens = fake_.max_step_tokens = 16;
    limits_.max_sequences = 6;
  }

  Engine& engine() {
    if (engine_ == nullptr) {
      executor_ = std::make_unique<FakeExecutor>(fake_);
      engine_ =
          Engine::Create(executor_.get(), &model_, &TestTokenizer(), limits_);
    }
    return *engine_;
  }

  absl::StatusOr<uint64_t> Submit(const GenerateRequest& request,
                                  std::shared_ptr<Outcome> outcome) {
    return engine().Submit(request, [outcome](GenerateEvent event) {
      outcome->Add(std::move(event));
    });
  }

  std::shared_ptr<Outcome> Run(const GenerateRequest& request) {
    auto outcome = std::make_shared<Outcome>();
    const auto id = Submit(request, outcome);
    EXPECT_TRUE(id.ok()) << id.status();
    if (id.ok()) outcome->ended.get_future().wait();
    return outcome;
  }

  // So many requests with prompts and lengths of all kinds, all at once.
  std::vector<std::pair<GenerateRequest, std::shared_ptr<Outcome>>>
  SubmitRandom(int count) {
    std::mt19937 random(3);
    std::vector<std::pair<GenerateRequest, std::shared_ptr<Outcome>>> all;
    for (int i = 0; i < count; ++i) {
      GenerateRequest request;
      request.prompt.resize(1 + random() % 40);
      for (int32_t& id : request.prompt) id = random() % model_.vocab_size;
      request.max_tokens = 1 + random() % 30;
      all.emplace_back(std::move(request), std::make_shared<Outcome>());
      const auto id = Submit(all.back().first, all.back().second);
      EXPECT_TRUE(id.ok()) << id.status();
      if (!id.ok()) all.back().second->ended.set_value();
    }
    return all;
  }

  std::vector<int32_t> AnswerAlone(std::vector<int32_t> tokens,
                                   int64_t count) const {
    const size_t prompt = tokens.size();
    while (tokens.size() < prompt + count) {
      tokens.push_back(FakeExecutor::NextToken(tokens, model_.vocab_size));
    }
    return {tokens.begin() + prompt, tokens.end()};
  }

  ModelConfig model_;
  FakeExecutorOptions fake_;
  EngineLimits limits_;
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Engine> engine_;
};

GenerateRequest Prompt(std::vector<int32_t> tokens, int64_t max_tokens) {
  GenerateRequest request;
  request.prompt = std::move(tokens);
  request.max_tokens = max_tokens;
  return request;
}

TEST_F(EngineTest, ManyRequestsAtOnceGetTheTokensTheyWouldGetAlone) {
  for (auto& [request, outcome] : SubmitRandom(60)) {
    outcome->ended.get_future().wait();
    const auto expected = AnswerAlone(request.prompt, request.max_tokens);
    EXPECT_EQ(outcome->tokens, expected);
    EXPECT_EQ(outcome->text, *TestTokenizer().Decode(expected, true));
    EXPECT_EQ(outcome->finish, FinishReason::kLength);
    EXPECT_EQ(outcome->finishes, 1);
  }
}

TEST_F(EngineTest, AStopIdIsReportedAndNotPartOfTheText) {
  const std::vector<int32_t> answer = AnswerAlone({5, 6}, 8);
  GenerateRequest request = Prompt({5, 6}, 20);
  request.stop_ids = {answer[7]};
  const auto outcome = Run(request);
  EXPECT_EQ(outcome->tokens, answer);
  EXPECT_EQ(outcome->finish, FinishReason::kStop);
  EXPECT_EQ(outcome->text, *TestTokenizer().Decode({answer.data(), 7}, true));
}

TEST_F(EngineTest, AStopStringAcrossTokensEndsTheAnswerBeforeIt) {
  const std::vector<int32_t> answer = AnswerAlone({5, 6}, 20);
  const std::string whole = *TestTokenizer().Decode(answer, true);
  // From the middle of the text, so that it covers several tokens; whole
  // characters.
  const auto character_at = [&](size_t at) {
    while (at < whole.size() && (whole[at] & 0xC0) == 0x80) ++at;
    return at;
  };
  const size_t begin = character_at(whole.size() / 2);
  const std::string stop = whole.substr(begin, character_at(begin + 8) - begin);
  GenerateRequest request = Prompt({5, 6}, 20);
  request.stop_strings = {stop};
  const auto outcome = Run(request);
  EXPECT_EQ(outcome->finish, FinishReason::kStop);
  EXPECT_EQ(outcome->text, whole.substr(0, whole.find(stop)));
  EXPECT_LT(outcome->tokens.size(), answer.size());
}

TEST_F(EngineTest, PromptLogitsBringEveryRowAndNoToken) {
  GenerateRequest request = Prompt(std::vector<int32_t>(37, 9), 0);
  request.prompt_logits = true;
  const auto outcome = Run(request);
  EXPECT_EQ(outcome->logits_rows, 37);
  EXPECT_TRUE(outcome->tokens.empty());
  EXPECT_EQ(outcome->finish, FinishReason::kLength);
}

TEST_F(EngineTest, CancelFreesThePagesAndEndsOnce) {
  std::promise<void> fifth_step, cancelled;
  fake_.before_step = [&](const StepPlan& plan) {
    if (plan.step == 5) {
      fifth_step.set_value();
      cancelled.get_future().wait();
    }
    return absl::OkStatus();
  };
  auto outcome = std::make_shared<Outcome>();
  const auto id = Submit(Prompt({1}, 300), outcome);
  ASSERT_TRUE(id.ok());
  fifth_step.get_future().wait();
  engine().Cancel(*id);
  engine().Cancel(*id);
  cancelled.set_value();
  outcome->ended.get_future().wait();
  EXPECT_EQ(outcome->finish, FinishReason::kCancelled);
  engine().Drain(absl::Seconds(60));
  EXPECT_EQ(outcome->finishes, 1);
  // Two steps were on their way when it was cancelled.
  EXPECT_GE(outcome->tokens.size(), 3u);
  EXPECT_LE(outcome->tokens.size(), 5u);
  EXPECT_EQ(executor_->pages_held(), 0);
}

TEST_F(EngineTest, AFailedStepEndsEveryRequestWithItsStatus) {
  fake_.before_step = [](const StepPlan& plan) {
    return plan.step < 4 ? absl::OkStatus()
                         : absl::UnavailableError("worker 1 is gone");
  };
  limits_.max_sequences = 2;  // the others wait
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (int i = 0; i < 5; ++i) {
    outcomes.push_back(std::make_shared<Outcome>());
    const auto id = Submit(Prompt({1, 2, 3}, 50), outcomes.back());
    if (!id.ok()) {  // came after the failure
      EXPECT_EQ(id.status().code(), absl::StatusCode::kUnavailable);
      outcomes.pop_back();
    }
  }
  for (const auto& outcome : outcomes) {
    outcome->ended.get_future().wait();
    EXPECT_EQ(outcome->finish, FinishReason::kError);
    EXPECT_EQ(outcome->status.message(), "worker 1 is gone");
  }
  EXPECT_FALSE(engine().health().ok());
  EXPECT_EQ(Submit(Prompt({1}, 1), std::make_shared<Outcome>()).status().code(),
            absl::StatusCode::kUnavailable);
  engine().Cancel(1);  // and nothing breaks
  engine().Drain(absl::ZeroDuration());
}

// The ranks are lost at random steps, with all their pages and tables.
TEST_F(EngineTest, AnswersGoOnWithTheNextTokenWhenLostRanksAreReplaced) {
  int losses = 0;
  std::mt19937 fate(11);
  fake_.before_step = [&](const StepPlan& plan) {
    if (plan.step < 3 || losses == 40 || fate() % 5 != 0) {
      return absl::OkStatus();
    }
    ++losses;
    return absl::UnavailableError("worker 1 is gone");
  };
  int asked = 0;
  fake_.resume = [&]() -> absl::Status {
    if (++asked % 3 != 0) return absl::UnavailableError("nobody came yet");
    return absl::OkStatus();
  };
  for (auto& [request, outcome] : SubmitRandom(30)) {
    outcome->ended.get_future().wait();
    EXPECT_EQ(outcome->tokens, AnswerAlone(request.prompt, request.max_tokens));
    EXPECT_EQ(outcome->finish, FinishReason::kLength) << outcome->status;
    EXPECT_EQ(outcome->finishes, 1);
  }
  engine().Drain(absl::InfiniteDuration());
  EXPECT_EQ(losses, 40);
  EXPECT_EQ(executor_->pages_held(), 0);
  EXPECT_TRUE(engine().health().ok());
}

TEST_F(EngineTest, RequestsWaitForRanksAsLongAsAgreedAndServiceResumes) {
  std::atomic<bool> lost = false;
  fake_.before_step = [&](const StepPlan&) -> absl::Status {
    if (lost) return absl::UnavailableError("worker 1 is gone");
    return absl::OkStatus();
  };
  fake_.resume = [&]() -> absl::Status {
    if (lost) return absl::UnavailableError("1 of 2 workers is here");
    return absl::OkStatus();
  };
  limits_.recovery_timeout = absl::Milliseconds(100);
  lost = true;
  const auto outcome = Run(Prompt({1, 2, 3}, 5));
  EXPECT_EQ(outcome->finish, FinishReason::kError);
  EXPECT_EQ(outcome->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outcome->status.message(),
            "no recovery within 100ms: 1 of 2 workers is here");
  EXPECT_EQ(engine().health().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Submit(Prompt({1}, 1), std::make_shared<Outcome>()).status().code(),
            absl::StatusCode::kUnavailable);

  lost = false;
  while (!engine().health().ok()) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(Run(Prompt({1, 2, 3}, 5))->tokens, AnswerAlone({1, 2, 3}, 5));
}

TEST_F(EngineTest, ARequestThatFellsItsWorkersAgainAndAgainIsGivenUp) {
  fake_.before_step = [](const StepPlan&) {
    return absl::UnavailableError("worker 1 is gone");
  };
  fake_.resume = [] { return absl::OkStatus(); };
  const auto outcome = Run(Prompt({1, 2, 3}, 5));
  EXPECT_EQ(outcome->finish, FinishReason::kError);
  EXPECT_TRUE(absl::StrContains(outcome->status.message(), "times in a row"))
      << outcome->status;
}

TEST_F(EngineTest, AFullQueueRefusesAtOnce) {
  std::promise<void> go;
  std::shared_future<void> may_go = go.get_future().share();
  fake_.before_step = [may_go](const StepPlan&) {
    may_go.wait();
    return absl::OkStatus();
  };
  limits_.max_sequences = 1;
  limits_.max_queue = 3;
  std::vector<std::shared_ptr<Outcome>> accepted;
  absl::Status refused;
  for (int i = 0; i < 10; ++i) {
    auto outcome = std::make_shared<Outcome>();
    const auto id = Submit(Prompt({1}, 2), outcome);
    if (id.ok()) {
      accepted.push_back(outcome);
    } else {
      refused = id.status();
    }
  }
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryAfter(refused).value_or(absl::ZeroDuration()),
            absl::ZeroDuration());
  EXPECT_GE(accepted.size(), 3u);
  EXPECT_LE(accepted.size(), 4u);
  go.set_value();
  for (const auto& outcome : accepted) {
    outcome->ended.get_future().wait();
    EXPECT_EQ(outcome->finish, FinishReason::kLength);
  }
}

// The events of a request with several answers, by answer.
struct Answers {
  std::map<int, Outcome> by_index;
  int done = 0;
  std::promise<void> ended;

  void Add(GenerateEvent event) {
    const bool last = event.done;
    by_index[event.index].Add(std::move(event));
    if (last && ++done == 1) ended.set_value();
  }
};

TEST_F(EngineTest, EveryAnswerOfARequestEndsOnceAndTheLastIsMarked) {
  GenerateRequest request = Prompt(std::vector<int32_t>(21, 7), 9);
  request.n = 3;
  auto answers = std::make_shared<Answers>();
  ASSERT_TRUE(engine()
                  .Submit(request,
                          [answers](GenerateEvent event) {
                            answers->Add(std::move(event));
                          })
                  .ok());
  answers->ended.get_future().wait();
  engine().Drain(absl::Seconds(60));
  EXPECT_EQ(answers->done, 1);
  ASSERT_EQ(answers->by_index.size(), 3u);
  for (const auto& [index, answer] : answers->by_index) {
    EXPECT_LT(index, 3);
    EXPECT_EQ(answer.finishes, 1);
    EXPECT_EQ(answer.tokens, AnswerAlone(request.prompt, 9));
  }
}

TEST_F(EngineTest, BestOfShowsAsManyAsAskedForOnceAllHaveEnded) {
  GenerateRequest request = Prompt({3, 4, 5}, 9);
  request.n = 2;
  request.best_of = 4;
  auto answers = std::make_shared<Answers>();
  ASSERT_TRUE(engine()
                  .Submit(request,
                          [answers](GenerateEvent event) {
                            answers->Add(std::move(event));
                          })
                  .ok());
  answers->ended.get_future().wait();
  ASSERT_EQ(answers->by_index.size(), 2u);
  for (const auto& [index, answer] : answers->by_index) {
    EXPECT_EQ(answer.events, 1);
    EXPECT_EQ(answer.finish, FinishReason::kLength);
    EXPECT_EQ(answer.tokens, AnswerAlone(request.prompt, 9));
  }
}

TEST_F(EngineTest, CancellingARequestEndsEachOfItsAnswers) {
  std::promise<void> third_step, cancelled;
  fake_.before_step = [&](const StepPlan& plan) {
    if (plan.step == 3) {
      third_step.set_value();
      cancelled.get_future().wait();
    }
    return absl::OkStatus();
  };
  GenerateRequest request = Prompt({1}, 300);
  request.n = 2;
  auto answers = std::make_shared<Answers>();
  const auto id = engine().Submit(request, [answers](GenerateEvent event) {
    answers->Add(std::move(event));
  });
  ASSERT_TRUE(id.ok()) << id.status();
  third_step.get_future().wait();
  engine().Cancel(*id);
  cancelled.set_value();
  answers->ended.get_future().wait();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(answers->by_index[i].finish, FinishReason::kCancelled);
  }
  engine().Drain(absl::Seconds(60));
  EXPECT_EQ(executor_->pages_held(), 0);
}

TEST_F(EngineTest, ADeadlineEndsARequestThatRunsAndOneThatWaits) {
  fake_.before_step = [](const StepPlan&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return absl::OkStatus();
  };
  limits_.max_sequences = 1;
  GenerateRequest request = Prompt({1}, 400);
  request.deadline = absl::Now() + absl::Milliseconds(100);
  auto runs = std::make_shared<Outcome>();
  auto waits = std::make_shared<Outcome>();
  ASSERT_TRUE(Submit(request, runs).ok());
  ASSERT_TRUE(Submit(request, waits).ok());
  for (const auto& outcome : {runs, waits}) {
    outcome->ended.get_future().wait();
    EXPECT_EQ(outcome->finish, FinishReason::kError);
    EXPECT_EQ(outcome->status.code(), absl::StatusCode::kDeadlineExceeded);
  }
  request.deadline = absl::Now() - absl::Seconds(1);
  EXPECT_EQ(Submit(request, std::make_shared<Outcome>()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineTest, StopStringsDoNotCountBeforeTheLeastLength) {
  const std::vector<int32_t> answer = AnswerAlone({5, 6}, 20);
  const std::string first = *TestTokenizer().Decode({answer.data(), 3}, true);
  GenerateRequest request = Prompt({5, 6}, 20);
  request.stop_strings = {first};
  request.min_tokens = 6;
  const auto outcome = Run(request);
  EXPECT_GT(outcome->tokens.size(), 6u);
  EXPECT_TRUE(absl::StrContains(
      outcome->text, *TestTokenizer().Decode({answer.data(), 6}, true)));
}

TEST_F(EngineTest, AnAnswerWithAGrammarKeepsToIt) {
  for (const char* pattern : {"[a-f]{5,9}", "(yes|no), [0-9]{3}\\."}) {
    GenerateRequest request = Prompt({5, 6}, 60);
    request.grammar = *CompileRegex(pattern, GrammarLimits());
    request.stop_ids = {1};
    const auto outcome = Run(request);
    EXPECT_EQ(outcome->finish, FinishReason::kStop) << outcome->status;
    EXPECT_TRUE(std::regex_match(outcome->text, std::regex(pattern)))
        << outcome->text;
  }
}

// The log-probabilities of a prompt's chunks arrive while its first token is
// drawn, which is no reason to draw another one under the same mask.
TEST_F(EngineTest, AnAnswerWithAGrammarKeepsToItBehindAPromptInChunks) {
  GenerateRequest request = Prompt(std::vector<int32_t>(60, 7), 60);
  request.prompt_logprobs = 1;
  request.grammar = *CompileRegex("abcdefghij", GrammarLimits());
  request.stop_ids = {1};
  for (int i = 0; i < 20; ++i) {
    const auto outcome = Run(request);
    EXPECT_EQ(outcome->finish, FinishReason::kStop) << outcome->status;
    EXPECT_EQ(outcome->text, "abcdefghij");
  }
}

TEST_F(EngineTest, AThoughtEndsWithItsBudgetWithAndWithoutAGrammar) {
  const int32_t close = *TestTokenizer().TokenId("<channel|>");
  GenerateRequest request = Prompt(
      *TestTokenizer().Encode("<|channel>thought\n", EncodeOptions()), 30);
  request.max_thought_tokens = 3;
  for (const bool with_grammar : {false, true}) {
    if (with_grammar) request.grammar = *CompileRegex("x+", GrammarLimits());
    const auto outcome = Run(request);
    const auto& tokens = outcome->tokens;
    const auto closed = std::find(tokens.begin(), tokens.end(), close);
    ASSERT_NE(closed, tokens.end()) << outcome->status;
    // Three tokens, and a line break where they do not end in one.
    EXPECT_THAT(closed - tokens.begin(), testing::AnyOf(3, 4));
  }
}

TEST_F(EngineTest, AnAnswerBegunElsewhereGoesOnWithItsNextToken) {
  const auto grammar = CompileRegex("([a-z]{2,5} ){3,9}", GrammarLimits());
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  for (const bool with_grammar : {false, true}) {
    GenerateRequest request = Prompt({1, 2, 3, 4, 5}, 24);
    if (with_grammar) request.grammar = *grammar;
    const auto whole = Run(request);
    ASSERT_GT(whole->tokens.size(), 4u);
    std::string text;
    for (size_t cut = 0; cut < whole->tokens.size(); ++cut) {
      request.drawn = {{whole->tokens.begin(), whole->tokens.begin() + cut}};
      const auto rest = Run(request);
      std::vector<int32_t> joined = request.drawn[0];
      joined.insert(joined.end(), rest->tokens.begin(), rest->tokens.end());
      EXPECT_EQ(joined, whole->tokens) << cut;
      EXPECT_EQ(rest->finish, whole->finish);
      EXPECT_TRUE(absl::EndsWith(whole->text, rest->text)) << rest->text;
    }
  }
  GenerateRequest request = Prompt({1, 2, 3, 4, 5}, 3);
  request.drawn = {{7, 8, 9}};
  const auto none_left = Submit(request, std::make_shared<Outcome>());
  EXPECT_EQ(none_left.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, DrainEndsWhatRunsAndTakesNothingNew) {
  auto outcome = std::make_shared<Outcome>();
  ASSERT_TRUE(Submit(Prompt({1}, 100), outcome).ok());
  engine().Drain(absl::Seconds(60));
  EXPECT_EQ(outcome->finish, FinishReason::kLength);
  EXPECT_EQ(Submit(Prompt({1}, 1), std::make_shared<Outcome>()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, WhatTheGracePeriodDoesNotCoverEndsUnavailable) {
  fake_.before_step = [](const StepPlan&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return absl::OkStatus();
  };
  auto outcome = std::make_shared<Outcome>();
  ASSERT_TRUE(Submit(Prompt({1}, 390), outcome).ok());
  engine().Drain(absl::Milliseconds(20));
  EXPECT_EQ(outcome->finish, FinishReason::kError);
  EXPECT_EQ(outcome->status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, RefusalsNameTheField) {
  const auto refusal = [&](const GenerateRequest& request) {
    const auto id = Submit(request, std::make_shared<Outcome>());
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(id.status().message());
  };
  EXPECT_NE(refusal(Prompt({}, 1)).find("prompt"), std::string::npos);
  EXPECT_NE(refusal(Prompt({-4}, 1)).find("-4"), std::string::npos);
  EXPECT_NE(refusal(Prompt({1}, 0)).find("max_tokens"), std::string::npos);
  EXPECT_NE(refusal(Prompt(std::vector<int32_t>(450, 1), 1)).find("KV memory"),
            std::string::npos);
  GenerateRequest request = Prompt({1}, 1);
  request.sampling.temperature = -1;
  EXPECT_NE(refusal(request).find("temperature"), std::string::npos);
  request.sampling = SamplingParams();
  request.sampling.top_p = 0;
  EXPECT_NE(refusal(request).find("top_p"), std::string::npos);
  request.sampling = SamplingParams();
  request.stop_strings = {""};
  EXPECT_NE(refusal(request).find("stop"), std::string::npos);
}

}  // namespace
}  // namespace facet
