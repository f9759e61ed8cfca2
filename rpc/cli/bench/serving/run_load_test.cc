#include "rpc/cli/bench/serving/run_load.h"

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

// Answers each request with a token every two milliseconds.
class PatientClient : public Client {
 public:
  absl::Status Generate(const std::vector<TextRequest>& requests,
                        const OnEvent& on_event) override {
    const TextRequest& request = requests.at(0);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      most_ = std::max(most_, ++running_);
      fresh_ &= prompts_.insert(request.tokens).second;
      exact_ &= request.ignore_eos && request.max_tokens.has_value();
    }
    absl::Status status = fail_;
    for (int64_t i = 1; status.ok() && i <= *request.max_tokens; ++i) {
      absl::SleepFor(absl::Milliseconds(2));
      TextEvent event;
      event.tokens.emplace_back();
      if (i == *request.max_tokens) event.finish = FinishReason::kLength;
      event.done = i == *request.max_tokens;
      if (!on_event(0, event)) break;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    --running_;
    return status;
  }

  absl::StatusOr<ModelInfo> Info() override { return ModelInfo(); }

  void FailWith(absl::Status status) { fail_ = std::move(status); }
  int most() const { return most_; }
  int running() const { return running_; }
  bool all_as_asked() const { return fresh_ && exact_; }

 private:
  absl::Status fail_;
  std::mutex mutex_;
  int running_ = 0;
  int most_ = 0;
  bool fresh_ = true;
  bool exact_ = true;
  std::set<std::vector<int32_t>> prompts_;
};

LoadShape Short() {
  LoadShape shape;
  shape.window = absl::Milliseconds(300);
  shape.length_scale = 0.05;
  shape.vocab_size = 1000;
  return shape;
}

TEST(RunLoadTest, AClosedLoopKeepsSoManyRequestsRunning) {
  PatientClient client;
  LoadShape shape = Short();
  shape.concurrency = 4;
  const auto result = RunLoad(&client, shape);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(client.most(), 4);
  EXPECT_EQ(client.running(), 0);
  EXPECT_TRUE(client.all_as_asked());
  EXPECT_GT(result->requests, 0);
  EXPECT_GT(result->prompt_tokens, 0);
  // Four at a time, a token each in two milliseconds at best.
  EXPECT_GT(result->output_tokens, 4);
  EXPECT_LE(result->output_tokens, 4 * result->seconds() / 0.002 + 8);
  EXPECT_EQ(result->end_to_end_s.size(), result->requests);
  for (double seconds : result->next_token_s) EXPECT_GE(seconds, 0.0019);
}

TEST(RunLoadTest, AnOpenLoopSendsAtItsRate) {
  PatientClient client;
  LoadShape shape = Short();
  shape.rate = 100;
  shape.window = absl::Seconds(1);
  const auto result = RunLoad(&client, shape);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(client.running(), 0);
  // Five standard deviations, and a machine that is late at times.
  EXPECT_GT(result->first_token_s.size(), 40);
  EXPECT_LT(result->first_token_s.size(), 160);
}

TEST(RunLoadTest, AnErrorEndsTheLoad) {
  PatientClient client;
  client.FailWith(absl::UnavailableError("gone"));
  LoadShape closed = Short(), open = Short();
  closed.concurrency = 3;
  closed.window = open.window = absl::Hours(1);
  open.rate = 1000;
  for (const LoadShape& shape : {closed, open}) {
    EXPECT_EQ(RunLoad(&client, shape).status().code(),
              absl::StatusCode::kUnavailable);
  }
}

TEST(RunLoadTest, TheFirstTokenIsTimedFromTheSending) {
  PatientClient client;
  const auto seconds = TimeFirstToken(&client, {1, 2, 3}, 5, nullptr);
  ASSERT_TRUE(seconds.ok());
  EXPECT_GE(*seconds, 0.0019);
}

}  // namespace
}  // namespace facet
