#include "rpc/coordinator/request_ledger.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/coordinator/testing/fake_text_model.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

constexpr int64_t kTokens = 40;

// What one caller heard.
class Caller {
 public:
  OnRunEvent Hear() {
    return [this](size_t, TextEvent event) {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const SampledToken& token : event.tokens) {
        tokens_.push_back(token.token);
      }
      text_ += event.text;
      if (!event.status.ok()) status_ = event.status;
      if (event.finish != FinishReason::kNone) finish_ = event.finish;
      EXPECT_FALSE(done_) << "something came behind the end";
      done_ |= event.done;
      changed_.notify_all();
    };
  }

  void AwaitTokens(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return tokens_.size() >= count || done_; });
  }
  void AwaitEnd() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
  }

  std::vector<int32_t> tokens() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return tokens_;
  }
  std::string text() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }
  absl::Status status() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }
  FinishReason finish() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return finish_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int32_t> tokens_;
  std::string text_;
  absl::Status status_;
  FinishReason finish_ = FinishReason::kNone;
  bool done_ = false;
};

class RequestLedgerTest : public testing::Test {
 protected:
  RequestLedgerTest() {
    FakeExecutorOptions fake = FakeExecutorFor(model_, 200, 800);
    fake.before_step = [this](const StepPlan&) {
      std::unique_lock<std::mutex> lock(mutex_);
      steps_changed_.wait(lock, [this] { return steps_allowed_ > 0; });
      --steps_allowed_;
      ++steps_;
      return absl::OkStatus();
    };
    executor_ = std::make_unique<FakeExecutor>(fake);
    engine_ = Engine::Create(executor_.get(), &model_.config,
                             model_.tokenizer.get(), EngineLimits());
    front_door_ = std::make_unique<FrontDoor>(engine_.get(), &model_);
  }

  ~RequestLedgerTest() override {
    AllowSteps(1 << 30);
    engine_->Drain(absl::ZeroDuration());
  }

  RequestLedger& ledger() {
    if (ledger_ == nullptr) {
      ledger_ = std::make_unique<RequestLedger>(front_door_.get(), options_);
    }
    return *ledger_;
  }

  void AllowSteps(int steps) {
    const std::lock_guard<std::mutex> lock(mutex_);
    steps_allowed_ = steps;
    steps_changed_.notify_all();
  }
  int steps() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return steps_;
  }

  static GenerateRequest Request(int n = 1) {
    GenerateRequest request;
    request.prompt = {5, 6, 7};
    request.max_tokens = kTokens;
    request.n = n;
    return request;
  }

  absl::StatusOr<RequestRun> Start(const RequestKey& key, Caller& caller,
                                   GenerateRequest request = Request()) {
    std::vector<GenerateRequest> requests;
    requests.push_back(std::move(request));
    return ledger().Start(key, std::move(requests), nullptr, caller.Hear());
  }

  std::vector<int32_t> Answer() const {
    std::vector<int32_t> tokens = {5, 6, 7};
    while (tokens.size() < 3 + kTokens) {
      tokens.push_back(
          FakeExecutor::NextToken(tokens, model_.config.vocab_size));
    }
    return {tokens.begin() + 3, tokens.end()};
  }

  // Tries until the request does not belong to an earlier one.
  RequestRun StartAnew(const RequestKey& key, std::unique_ptr<Caller>* caller) {
    while (true) {
      auto fresh = std::make_unique<Caller>();
      const absl::StatusOr<RequestRun> run = Start(key, *fresh);
      EXPECT_TRUE(run.ok()) << run.status();
      if (!run.ok() || !run->again) {
        *caller = std::move(fresh);
        return run.value_or(RequestRun());
      }
      run->leave();
      fresh->AwaitEnd();
    }
  }

  RequestLedgerOptions options_;
  std::mutex mutex_;
  std::condition_variable steps_changed_;
  int steps_allowed_ = 1 << 30;
  int steps_ = 0;
  TextModel model_ = FakeTextModel(2000);
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<FrontDoor> front_door_;
  std::unique_ptr<RequestLedger> ledger_;
};

TEST_F(RequestLedgerTest, WhoAsksAgainGetsTheWholeAnswerAndNothingRunsTwice) {
  AllowSteps(10);
  Caller first;
  const auto run = Start({"ann", "k", "body"}, first);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE(run->again);
  first.AwaitTokens(8);

  Caller meanwhile;
  const auto second = Start({"ann", "k", "body"}, meanwhile);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->again);
  meanwhile.AwaitTokens(8);
  AllowSteps(1 << 30);
  first.AwaitEnd();
  meanwhile.AwaitEnd();

  const int steps_then = steps();
  Caller afterwards;
  const auto third = Start({"ann", "k", "body"}, afterwards);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_TRUE(third->again);
  afterwards.AwaitEnd();
  EXPECT_EQ(steps(), steps_then);
  for (Caller* caller : {&first, &meanwhile, &afterwards}) {
    EXPECT_EQ(caller->tokens(), Answer());
    EXPECT_EQ(caller->text(), first.text());
    EXPECT_EQ(caller->finish(), FinishReason::kLength);
  }
}

TEST_F(RequestLedgerTest, AKeyNamesOneRequestOfOneOwner) {
  Caller first;
  ASSERT_TRUE(Start({"ann", "k", "body"}, first).ok());
  Caller other_body;
  EXPECT_EQ(Start({"ann", "k", "other"}, other_body).status().code(),
            absl::StatusCode::kAlreadyExists);
  Caller other_owner;
  const auto run = Start({"bob", "k", "other"}, other_owner);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE(run->again);
  first.AwaitEnd();
  other_owner.AwaitEnd();
}

TEST_F(RequestLedgerTest, ARequestGoesOnWhenItsCallerHasLeft) {
  AllowSteps(5);
  Caller first;
  const auto run = Start({"", "k", "body"}, first);
  ASSERT_TRUE(run.ok()) << run.status();
  first.AwaitTokens(2);
  run->leave();
  run->leave();
  first.AwaitEnd();
  EXPECT_EQ(first.finish(), FinishReason::kCancelled);
  AllowSteps(1 << 30);
  Caller second;
  const auto again = Start({"", "k", "body"}, second);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->again);
  second.AwaitEnd();
  EXPECT_EQ(second.tokens(), Answer());
}

TEST_F(RequestLedgerTest, WhoNobodyComesBackForIsCancelledAndForgotten) {
  options_.resume_time = absl::ZeroDuration();
  AllowSteps(5);
  Caller first;
  const auto run = Start({"", "k", "body"}, first);
  ASSERT_TRUE(run.ok()) << run.status();
  first.AwaitTokens(2);
  run->leave();
  first.AwaitEnd();
  std::unique_ptr<Caller> second;
  StartAnew({"", "k", "body"}, &second);
  AllowSteps(1 << 30);
  second->AwaitEnd();
  EXPECT_EQ(second->tokens(), Answer());
}

TEST_F(RequestLedgerTest, AnswersAreKeptForATime) {
  options_.keep_time = absl::Milliseconds(20);
  Caller first;
  ASSERT_TRUE(Start({"", "k", "body"}, first).ok());
  first.AwaitEnd();
  std::unique_ptr<Caller> second;
  StartAnew({"", "k", "body"}, &second);
  second->AwaitEnd();
  EXPECT_EQ(second->tokens(), Answer());
}

TEST_F(RequestLedgerTest, WhatEndsWithAnErrorRunsAgain) {
  Caller refused;
  GenerateRequest bad = Request();
  bad.max_tokens = 0;
  EXPECT_FALSE(Start({"", "k", "body"}, refused, std::move(bad)).ok());
  AllowSteps(5);
  Caller late;
  GenerateRequest limited = Request();
  const absl::Time deadline = absl::Now() + absl::Seconds(2);
  limited.deadline = deadline;
  const auto run = Start({"", "k", "body"}, late, std::move(limited));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE(run->again);
  while (absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  AllowSteps(1 << 30);
  late.AwaitEnd();
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
  Caller third;
  const auto anew = Start({"", "k", "body"}, third);
  ASSERT_TRUE(anew.ok()) << anew.status();
  EXPECT_FALSE(anew->again);
  third.AwaitEnd();
  EXPECT_EQ(third.tokens(), Answer());
}

TEST_F(RequestLedgerTest, TheAnswerThatEndedFirstMakesRoom) {
  options_.max_requests = 2;
  Caller callers[3];
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Start({"", std::string(1, 'a' + i), "body"}, callers[i]).ok());
    callers[i].AwaitEnd();
  }
  Caller kept;
  EXPECT_TRUE(Start({"", "c", "body"}, kept)->again);
  Caller kept_too;
  EXPECT_TRUE(Start({"", "b", "body"}, kept_too)->again);
  Caller gone;
  EXPECT_FALSE(Start({"", "a", "body"}, gone)->again);
  gone.AwaitEnd();
}

TEST_F(RequestLedgerTest, MoreRunningRequestsThanAreKeptAreRefused) {
  options_.max_requests = 1;
  AllowSteps(3);
  Caller first;
  ASSERT_TRUE(Start({"", "a", "body"}, first).ok());
  Caller second;
  const absl::Status refused = Start({"", "b", "body"}, second).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfter(refused).has_value());
  AllowSteps(1 << 30);
  first.AwaitEnd();
  EXPECT_TRUE(Start({"", "b", "body"}, second).ok());
  second.AwaitEnd();
}

TEST_F(RequestLedgerTest, AnAnswerTooLongToBeKeptReachesItsCallerAlone) {
  options_.max_bytes = 200;
  AllowSteps(12);
  Caller first;
  ASSERT_TRUE(Start({"", "k", "body"}, first).ok());
  first.AwaitTokens(10);
  Caller second;
  EXPECT_EQ(Start({"", "k", "body"}, second).status().code(),
            absl::StatusCode::kAlreadyExists);
  AllowSteps(1 << 30);
  first.AwaitEnd();
  EXPECT_EQ(first.tokens(), Answer());
}

TEST_F(RequestLedgerTest, EveryAnswerOfARequestIsToldAgain) {
  Caller first;
  ASSERT_TRUE(Start({"", "k", "body"}, first, Request(3)).ok());
  first.AwaitEnd();
  Caller second;
  ASSERT_TRUE(Start({"", "k", "body"}, second, Request(3)).ok());
  second.AwaitEnd();
  EXPECT_EQ(second.tokens().size(), 3u * kTokens);
  EXPECT_EQ(second.tokens(), first.tokens());
  EXPECT_EQ(second.text(), first.text());
}

TEST(RequestKeyTest, KeysAreVisibleAsciiOfBoundedLength) {
  EXPECT_TRUE(CheckRequestKey("a-Key_1", "request_key").ok());
  for (const std::string& bad : {std::string(), std::string(256, 'k'),
                                 std::string("a b"), std::string("a\x80")}) {
    const absl::Status status = CheckRequestKey(bad, "request_key");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message().find("request_key: "), 0u) << status;
  }
  EXPECT_NE(RequestDigest({"ab", "c"}), RequestDigest({"a", "bc"}));
}

}  // namespace
}  // namespace facet
