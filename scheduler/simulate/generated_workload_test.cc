#include "scheduler/simulate/generated_workload.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

bool SameRequest(const SimRequest& a, const SimRequest& b) {
  return a.arrival_s == b.arrival_s && a.prompt_tokens == b.prompt_tokens &&
         a.output_tokens == b.output_tokens && a.prefix == b.prefix &&
         a.conversation == b.conversation && a.think_s == b.think_s &&
         a.cancel_after_s == b.cancel_after_s;
}

TEST(GeneratedWorkloadTest, ASeedGivesTheSameWorkloadAndAnotherAnother) {
  WorkloadShape shape;
  shape.rate = 5;
  shape.next_turn = 0.5;
  shape.cancelled = 0.1;
  shape.system_prompts = 3;
  const Workload once = GenerateWorkload(shape);
  const Workload again = GenerateWorkload(shape);
  shape.seed = 2;
  const Workload other = GenerateWorkload(shape);
  ASSERT_EQ(once.requests.size(), again.requests.size());
  for (size_t i = 0; i < once.requests.size(); ++i) {
    EXPECT_TRUE(SameRequest(once.requests[i], again.requests[i])) << i;
  }
  EXPECT_FALSE(SameRequest(once.requests[0], other.requests[0]));
}

// The means of arXiv:2309.06180, within what 20,000 draws leave to chance: the
// standard deviations are about 330 and 310 tokens, so 3 of their standard
// errors are 7.
TEST(GeneratedWorkloadTest, LengthsHaveTheStatedMeans) {
  WorkloadShape shape;
  shape.rate = 1000;
  shape.duration_s = 20;
  shape.most_prompt_tokens = 1 << 20;
  shape.most_output_tokens = 1 << 20;
  const Workload workload = GenerateWorkload(shape);
  const auto n = static_cast<double>(workload.requests.size());
  // A Poisson count of mean 20,000: 5 standard deviations are 707.
  EXPECT_NEAR(n, 20000, 707);
  double prompt = 0;
  double output = 0;
  for (const SimRequest& request : workload.requests) {
    prompt += static_cast<double>(request.prompt_tokens);
    output += static_cast<double>(request.output_tokens);
  }
  EXPECT_NEAR(prompt / n, 161, 8);
  EXPECT_NEAR(output / n, 338, 8);
}

TEST(GeneratedWorkloadTest, TurnsExtendTheirConversation) {
  WorkloadShape shape;
  shape.rate = 10;
  shape.next_turn = 0.7;
  shape.system_prompts = 2;
  shape.system_prompt_tokens = 100;
  int turns = 0;
  const SimRequest* before = nullptr;
  const Workload workload = GenerateWorkload(shape);
  for (const SimRequest& request : workload.requests) {
    EXPECT_GT(request.prompt_tokens, 100);
    if (before != nullptr && !request.conversation.empty() &&
        request.conversation == before->conversation) {
      ++turns;
      EXPECT_GT(request.prompt_tokens,
                before->prompt_tokens + before->output_tokens);
      EXPECT_EQ(request.prefix, before->prefix);
    }
    before = &request;
  }
  EXPECT_GT(turns, 100);
}

TEST(GeneratedWorkloadTest, FailuresLeaveTheRequestsAsTheyAre) {
  WorkloadShape shape;
  shape.rate = 2;
  const Workload calm = GenerateWorkload(shape);
  shape.failure_every_s = 10;
  const Workload rough = GenerateWorkload(shape);
  EXPECT_TRUE(calm.failures.empty());
  EXPECT_FALSE(rough.failures.empty());
  ASSERT_EQ(calm.requests.size(), rough.requests.size());
  for (size_t i = 0; i < calm.requests.size(); ++i) {
    EXPECT_TRUE(SameRequest(calm.requests[i], rough.requests[i])) << i;
  }
}

}  // namespace
}  // namespace facet
