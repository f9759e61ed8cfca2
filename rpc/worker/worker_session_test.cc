// A session alone: its link to the coordinator is a fake, and so are the steps
// that it runs.
#include "rpc/worker/worker_session.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/worker/testing/fake_parts.h"

namespace facet {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

class FakeCoordinator : public CoordinatorLink {
 public:
  // What the coordinator does.
  void Say(CoordinatorMessage message) {
    std::lock_guard<std::mutex> lock(mutex_);
    said_.push_back(std::move(message));
    changed_.notify_all();
  }
  // Messages of a kind that came, once there are `count` or time is up.
  template <typename Message>
  std::vector<Message> Await(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    std::vector<Message> found;
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kPatience), [&] {
      found.clear();
      for (const WorkerMessage& message : heard_) {
        const auto* wanted = std::get_if<Message>(&message);
        if (wanted != nullptr) found.push_back(*wanted);
      }
      return found.size() >= count;
    });
    return found;
  }
  // Makes a Send() of a result wait until it is let go.
  void HoldResults(bool hold) {
    std::lock_guard<std::mutex> lock(mutex_);
    hold_ = hold;
    changed_.notify_all();
  }

  bool Send(const WorkerMessage& message) override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (std::holds_alternative<StepResult>(message)) {
      changed_.wait(lock, [this] { return !hold_ || over_; });
    }
    if (over_) return false;
    heard_.push_back(message);
    changed_.notify_all();
    return true;
  }
  absl::StatusOr<CoordinatorMessage> Read() override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !said_.empty() || over_; });
    if (over_) return absl::UnavailableError("it ended the stream");
    CoordinatorMessage message = std::move(said_.front());
    said_.pop_front();
    return message;
  }
  void FinishSending() override { Cancel(); }
  void Cancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<CoordinatorMessage> said_;
  std::vector<WorkerMessage> heard_;
  bool hold_ = false;
  bool over_ = false;
};

// What a runner has been asked, and a gate its steps pass before they end.
class Watch {
 public:
  void AwaitRuns(int count) {
    Await([&] { return runs_ >= count; });
  }
  void AwaitAbort() {
    Await([&] { return aborted_; });
  }
  void SetGate(bool open) {
    Change([&] { open_ = open; });
  }
  void Run() {
    Change([&] { ++runs_; });
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }
  void Abort() {
    Change([&] { aborted_ = true; });
  }
  int runs() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return runs_;
  }

 private:
  void Await(const std::function<bool()>& met) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, absl::ToChronoMilliseconds(kPatience), met));
  }
  void Change(const std::function<void()>& change) {
    std::lock_guard<std::mutex> lock(mutex_);
    change();
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int runs_ = 0;
  bool aborted_ = false;
  bool open_ = true;
};

class WatchedRunner : public RankRunner {
 public:
  WatchedRunner(std::unique_ptr<RankRunner> runner, Watch* watch)
      : runner_(std::move(runner)), watch_(watch) {}
  absl::StatusOr<StepResult> Run(const StepPlan& plan) override {
    watch_->Run();
    return runner_->Run(plan);
  }
  void Abort(const absl::Status& status) override {
    watch_->Abort();
    runner_->Abort(status);
  }
  RankActivity activity() const override {
    RankActivity activity;
    activity.running = watch_->runs() > 0;
    activity.step = 1;
    activity.operation = "computing";
    activity.moves = watch_->runs();
    return activity;
  }

 private:
  std::unique_ptr<RankRunner> runner_;
  Watch* watch_;
};

class WorkerSessionTest : public testing::Test {
 protected:
  ~WorkerSessionTest() override {
    coordinator_.Cancel();
    watch_.SetGate(true);
    Wait().IgnoreError();
  }

  void Start(const std::string& fake,
             const WorkerSessionOptions& options = WorkerSessionOptions()) {
    parts_ = FakeParts(ParseFakeWorkerOptions(fake));
    parts_.load =
        [this, load = parts_.load](
            const RankOptions& options, std::unique_ptr<Communicator> world,
            const LoadProgress& progress, std::unique_ptr<RankRunner> before)
        -> absl::StatusOr<std::unique_ptr<RankRunner>> {
      auto runner =
          load(options, std::move(world), progress, std::move(before));
      if (!runner.ok()) return runner.status();
      return std::make_unique<WatchedRunner>(*std::move(runner), &watch_);
    };
    session_ = std::make_unique<WorkerSession>(&coordinator_, &parts_, options);
    thread_ = std::thread(
        [this] { status_ = session_->Run(*parts_.listen("localhost")); });
  }
  // Started and ready for steps.
  void StartInPlace(const std::string& fake, int stages = 1) {
    Start(fake);
    WorkerAssignment place;
    place.parallelism.pp_size = stages;
    place.rank = stages - 1;  // where tokens are drawn
    place.heartbeat_timeout = absl::Minutes(10);
    coordinator_.Say(place);
    ASSERT_EQ(coordinator_.Await<WorkerReady>(1).size(), 1u);
  }
  absl::Status Wait() {
    if (thread_.joinable()) thread_.join();
    return status_;
  }

  static StepPlan Plan(uint64_t step) {
    StepPlan plan;
    plan.step = step;
    plan.slices.resize(1);
    plan.slices[0].sequence = {1};
    plan.slices[0].tokens = {3};
    plan.slices[0].start = static_cast<int64_t>(step);
    plan.slices[0].sample = true;
    return plan;
  }

  FakeCoordinator coordinator_;
  Watch watch_;
  WorkerParts parts_;
  std::unique_ptr<WorkerSession> session_;
  std::thread thread_;
  absl::Status status_;
};

TEST_F(WorkerSessionTest, StepsThatWaitRunInTheirOrder) {
  StartInPlace("compute=2000", /*stages=*/3);
  for (uint64_t step : {1, 2, 3, 4}) coordinator_.Say(Plan(step));
  const std::vector<StepResult> results = coordinator_.Await<StepResult>(4);
  ASSERT_EQ(results.size(), 4u);
  for (uint64_t step : {1, 2, 3, 4}) EXPECT_EQ(results[step - 1].step, step);
  coordinator_.Say(WorkerShutdown{"done"});
  EXPECT_TRUE(Wait().ok());
}

TEST_F(WorkerSessionTest, AResultOnItsWayHoldsUpNoStep) {
  coordinator_.HoldResults(true);
  StartInPlace("");
  coordinator_.Say(Plan(1));
  coordinator_.Say(Plan(2));
  watch_.AwaitRuns(2);
  coordinator_.HoldResults(false);
  EXPECT_EQ(coordinator_.Await<StepResult>(2).size(), 2u);
  coordinator_.Say(WorkerShutdown{"done"});
  EXPECT_TRUE(Wait().ok());
}

TEST_F(WorkerSessionTest, AShutdownComesBehindTheStepsBeforeIt) {
  StartInPlace("compute=20000");
  coordinator_.Say(Plan(1));
  coordinator_.Say(Plan(2));
  coordinator_.Say(WorkerShutdown{"done"});
  EXPECT_TRUE(Wait().ok());
  EXPECT_EQ(coordinator_.Await<StepResult>(2).size(), 2u);
}

TEST_F(WorkerSessionTest, AWorkerThatLeavesFinishesTheRunningStepAlone) {
  StartInPlace("");
  watch_.SetGate(false);
  coordinator_.Say(Plan(1));
  coordinator_.Say(Plan(2));
  watch_.AwaitRuns(1);
  session_->Leave("it received SIGTERM");
  watch_.SetGate(true);
  EXPECT_TRUE(Wait().ok());
  EXPECT_EQ(watch_.runs(), 1);
  EXPECT_EQ(coordinator_.Await<StepResult>(1).size(), 1u);
  const auto farewell = coordinator_.Await<WorkerFailed>(1);
  ASSERT_EQ(farewell.size(), 1u);
  EXPECT_THAT(std::string(farewell[0].status.message()),
              HasSubstr("received SIGTERM"));
}

TEST_F(WorkerSessionTest, MoreStepsThanAPipelineHoldsEndTheSession) {
  StartInPlace("hang_at_step=1", /*stages=*/2);
  for (uint64_t step = 1; step <= 5; ++step) coordinator_.Say(Plan(step));
  const absl::Status status = Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("step 5 while 4 steps are unfinished"));
  const auto farewell = coordinator_.Await<WorkerFailed>(1);
  ASSERT_EQ(farewell.size(), 1u);
  EXPECT_EQ(farewell[0].status, status);
}

// A coordinator that takes no results gets no more out of a worker's memory.
TEST_F(WorkerSessionTest, ResultsThatWereNotTakenCountAsUnfinished) {
  coordinator_.HoldResults(true);
  StartInPlace("");
  for (uint64_t step = 1; step <= 4; ++step) coordinator_.Say(Plan(step));
  watch_.AwaitAbort();
  coordinator_.HoldResults(false);
  EXPECT_THAT(std::string(Wait().message()),
              HasSubstr("step 4 while 3 steps are unfinished"));
}

TEST_F(WorkerSessionTest, HeartbeatsTellWhereTheStepIs) {
  StartInPlace("");
  watch_.SetGate(false);
  coordinator_.Say(Plan(1));
  watch_.AwaitRuns(1);
  const size_t before = coordinator_.Await<Heartbeat>(0).size();
  const auto heartbeats = coordinator_.Await<Heartbeat>(before + 2);
  ASSERT_GE(heartbeats.size(), before + 2);
  const auto& activity = heartbeats.back().activity;
  ASSERT_TRUE(activity.has_value());
  EXPECT_TRUE(activity->running);
  EXPECT_EQ(activity->operation, "computing");
}

TEST_F(WorkerSessionTest, ARankThatNeverComesBackFromALostWorldIsTold) {
  std::mutex mutex;
  std::condition_variable changed;
  std::string told;
  WorkerSessionOptions options;
  options.on_stuck = [&](const std::string& why) {
    const std::lock_guard<std::mutex> lock(mutex);
    told = why;
    changed.notify_all();
  };
  Start("", options);
  WorkerAssignment place;
  place.heartbeat_interval = absl::Milliseconds(10);
  place.heartbeat_timeout = absl::Minutes(10);
  place.comm_timeout = absl::Milliseconds(50);
  coordinator_.Say(place);
  ASSERT_EQ(coordinator_.Await<WorkerReady>(1).size(), 1u);
  watch_.SetGate(false);
  coordinator_.Say(Plan(1));
  watch_.AwaitRuns(1);
  coordinator_.Cancel();
  std::unique_lock<std::mutex> lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, absl::ToChronoMilliseconds(kPatience),
                               [&] { return !told.empty(); }));
  EXPECT_THAT(told, HasSubstr("step 1 does not end"));
}

TEST_F(WorkerSessionTest, AStepBeforeAPlaceEndsTheSession) {
  Start("");
  coordinator_.Say(Plan(1));
  EXPECT_EQ(Wait().code(), absl::StatusCode::kInternal);
}

TEST_F(WorkerSessionTest, MessagesThatAreNoStepsAreBounded) {
  StartInPlace("hang_at_step=1");
  coordinator_.Say(Plan(1));
  for (int i = 0; i < 10; ++i) coordinator_.Say(WorkerShutdown{"done"});
  const absl::Status status = Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("are no steps"));
}

}  // namespace
}  // namespace facet
