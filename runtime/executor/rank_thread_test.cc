#include "runtime/executor/rank_thread.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

// Runs a step once it is let.
class GatedRunner : public RankRunner {
 public:
  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    std::unique_lock<std::mutex> lock(mutex_);
    ++started_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return let_ >= plan.step || !aborted_.ok(); });
    if (!aborted_.ok()) return aborted_;
    if (plan.step == refused_) return absl::InvalidArgumentError("refused");
    StepResult result;
    result.step = plan.step;
    return result;
  }
  void Abort(const absl::Status& status) override {
    std::lock_guard<std::mutex> lock(mutex_);
    aborted_ = status;
    changed_.notify_all();
  }
  void LetUpTo(uint64_t step) {
    std::lock_guard<std::mutex> lock(mutex_);
    let_ = step;
    changed_.notify_all();
  }
  void WaitUntilStarted(int steps) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return started_ >= steps; });
  }
  int started() {
    std::lock_guard<std::mutex> lock(mutex_);
    return started_;
  }
  void set_refused(uint64_t step) { refused_ = step; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t let_ = 0;
  uint64_t refused_ = 0;
  int started_ = 0;
  absl::Status aborted_;
};

std::shared_ptr<const StepPlan> Plan(uint64_t step) {
  auto plan = std::make_shared<StepPlan>();
  plan->step = step;
  return plan;
}

TEST(RankThreadTest, StartReturnsWhileStepsRunAndResultsComeInOrder) {
  auto runner = std::make_unique<GatedRunner>();
  GatedRunner* gate = runner.get();
  RankThread thread(std::move(runner));
  thread.Start(Plan(1));
  thread.Start(Plan(2));
  gate->WaitUntilStarted(1);
  gate->LetUpTo(2);
  EXPECT_EQ(thread.Finish()->step, 1u);
  EXPECT_EQ(thread.Finish()->step, 2u);
}

TEST(RankThreadTest, AnErrorVoidsWhatStandsBehindItAndThenTheThreadGoesOn) {
  auto runner = std::make_unique<GatedRunner>();
  GatedRunner* gate = runner.get();
  gate->set_refused(1);
  std::atomic<int> failures{0};
  RankThread thread(std::move(runner),
                    [&](const absl::Status&) { ++failures; });
  gate->LetUpTo(9);
  thread.Start(Plan(1));
  thread.Start(Plan(2));
  EXPECT_EQ(thread.Finish().status().code(),
            absl::StatusCode::kInvalidArgument);
  thread.Start(Plan(3));
  EXPECT_EQ(thread.Finish()->step, 3u);
  EXPECT_EQ(gate->started(), 2);  // 1 and 3
  EXPECT_EQ(failures, 0);         // a refusal leaves the runner in order
}

TEST(RankThreadTest, AbortUnblocksTheStepAndIsReported) {
  auto runner = std::make_unique<GatedRunner>();
  GatedRunner* gate = runner.get();
  std::atomic<int> failures{0};
  RankThread thread(std::move(runner),
                    [&](const absl::Status&) { ++failures; });
  thread.Start(Plan(1));
  thread.Start(Plan(2));
  gate->WaitUntilStarted(1);
  thread.Abort(absl::UnavailableError("gone"));
  EXPECT_EQ(thread.Finish().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(failures, 1);
}

TEST(RankThreadTest, DestructionWaitsForTheStepThatRunsAndDropsTheRest) {
  auto runner = std::make_unique<GatedRunner>();
  GatedRunner* gate = runner.get();
  {
    RankThread thread(std::move(runner));
    thread.Start(Plan(1));
    thread.Start(Plan(2));
    gate->WaitUntilStarted(1);
    gate->LetUpTo(1);
  }
  SUCCEED();
}

}  // namespace
}  // namespace facet
