#include "rpc/cli/bench/step_driver.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

class StepDriverTest : public testing::Test {
 protected:
  StepDriverTest()
      : executor_(Options()), driver_(&executor_, Model(), 64, 8) {}

  static ModelConfig Model() {
    ModelConfig model;
    model.vocab_size = 1000;
    model.sliding_window = 64;
    model.max_position_embeddings = 4096;
    return model;
  }

  static FakeExecutorOptions Options() {
    FakeExecutorOptions options;
    options.pools = {/*page_tokens=*/16, /*sliding_pages=*/100,
                     /*global_pages=*/200};
    options.max_step_tokens = 64;
    return options;
  }

  FakeExecutor executor_;
  StepDriver driver_;
};

TEST_F(StepDriverTest, AllPromptsDecodeSideBySide) {
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 4; ++i) prompts.push_back(driver_.RandomPrompt(40, i));
  const auto steps = driver_.Run(prompts, /*max_tokens=*/20);
  ASSERT_TRUE(steps.ok()) << steps.status();
  int64_t tokens = 0;
  for (const StepTiming& step : *steps) {
    tokens += step.tokens;
    EXPECT_GT(step.seconds, 0);
  }
  // The last token of a sequence is drawn and never computed.
  EXPECT_EQ(tokens, 4 * (40 + 19));
  const auto full =
      std::count_if(steps->begin(), steps->end(),
                    [](const StepTiming& step) { return IsDecodeOf(4, step); });
  EXPECT_GE(full, 15);
}

TEST_F(StepDriverTest, OneClusterServesOneRunAfterAnother) {
  for (int run = 0; run < 3; ++run) {
    const auto steps = driver_.Run({driver_.RandomPrompt(100, run)}, 5);
    ASSERT_TRUE(steps.ok()) << steps.status();
    EXPECT_EQ(steps->size(), 2u + 4u);
  }
  EXPECT_EQ(executor_.pages_held(), 0);
}

TEST_F(StepDriverTest, ABreakComesWhenNothingRuns) {
  std::vector<int64_t> told;
  int breaks = 0;
  StepDriver::Listener listener;
  listener.after_step = [&](const StepTiming& step) {
    told.push_back(step.tokens);
    return told.size() == 2;
  };
  listener.on_break = [&] { ++breaks; };
  const auto steps = driver_.Run({driver_.RandomPrompt(100, 1)}, 5, listener);
  ASSERT_TRUE(steps.ok()) << steps.status();
  // The step that ran when the break was asked for is not told of.
  EXPECT_EQ(told, (std::vector<int64_t>{64, 36, 1, 1, 1}));
  EXPECT_EQ(breaks, 1);
}

TEST_F(StepDriverTest, CountsPagesOnceThatServeTwice) {
  ASSERT_TRUE(driver_.Run({driver_.RandomPrompt(100, 1)}, 1).ok());
  EXPECT_EQ(driver_.pages_touched().global, 7);
  ASSERT_TRUE(driver_.Run({driver_.RandomPrompt(100, 2)}, 1).ok());
  EXPECT_GE(driver_.pages_touched().global, 7);
  EXPECT_LE(driver_.pages_touched().global, 14);
}

TEST_F(StepDriverTest, RefusesAPromptThatDoesNotFit) {
  EXPECT_EQ(driver_.Run({driver_.RandomPrompt(5000, 1)}, 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace facet
