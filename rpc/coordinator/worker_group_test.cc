// Worker processes for real: started, killed, stopped, refused. Their ranks are
// fakes (rpc/worker/testing).
#include "rpc/coordinator/worker_group.h"

#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/control/diagnosis.h"
#include "rpc/control/remote_executor.h"
#include "rpc/worker/testing/fake_parts.h"
#include "rpc/worker/worker.h"

namespace facet {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kFakeWorker[] = "rpc/worker/testing/fake_worker";
constexpr char kBuild[] = "build of the tests";

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

// The environment of workers started from here on.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~ScopedEnvironment() { unsetenv(name_); }

 private:
  const char* name_;
};

class WorkerGroupTest : public testing::Test {
 protected:
  // Tests and the fake worker are two binaries.
  ScopedEnvironment build_{"FACET_BUILD_ID", kBuild};

  static WorkerGroupOptions Options(int workers) {
    WorkerGroupOptions options;
    options.world_size = workers;
    options.executable = kFakeWorker;
    options.worker_argv = {"fake_worker", "worker"};
    options.common.parallelism.tp_size = workers;
    options.join_timeout = absl::Seconds(30);
    options.recover = false;
    return options;
  }

  static absl::StatusOr<std::unique_ptr<WorkerGroup>> Start(
      const std::string& fake, const WorkerGroupOptions& options) {
    ScopedEnvironment environment("FACET_FAKE_WORKER", fake);
    return WorkerGroup::Start(options);
  }

  static std::unique_ptr<Executor> MakeExecutor(
      WorkerGroup& group, absl::Duration timeout = absl::Minutes(1),
      int64_t vocab_size = 1000, int stages = 1) {
    RemoteExecutorOptions options;
    options.vocab_size = vocab_size;
    options.stages = stages;
    options.step_timeout = timeout;
    options.validate = [](const StepPlan& plan) -> absl::Status {
      if (plan.slices.empty()) return absl::InvalidArgumentError("empty");
      return absl::OkStatus();
    };
    return MakeRemoteExecutor(&group, std::move(options));
  }

  static StepPlan Decode(uint64_t step, int sequences = 3) {
    StepPlan plan;
    plan.step = step;
    for (int i = 0; i < sequences; ++i) {
      SequenceSlice slice;
      slice.sequence = {static_cast<uint64_t>(i + 1)};
      slice.tokens = {5};
      slice.start = static_cast<int64_t>(step);
      slice.sample = true;
      if (step == 1) slice.begins = SequenceStart();
      plan.slices.push_back(std::move(slice));
    }
    return plan;
  }
};

TEST_F(WorkerGroupTest, TwoWorkersRunAThousandSteps) {
  auto group = Start("", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const std::unique_ptr<Executor> executor = MakeExecutor(**group);
  for (uint64_t step = 1; step <= 1000; ++step) {
    const absl::StatusOr<StepResult> result = executor->Execute(Decode(step));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, step);
    ASSERT_EQ(result->tokens.size(), 3u);
    for (const SampledToken& token : result->tokens) {
      EXPECT_EQ(token.token,
                FakeToken(token.sequence, static_cast<int64_t>(step), 1000));
    }
  }
  EXPECT_TRUE((*group)->members()->health().ok());
  EXPECT_TRUE((*group)->Shutdown().ok());
  EXPECT_EQ(executor->Execute(Decode(1001)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(WorkerGroupTest, LogitsLargerThanAMessageArriveWhole) {
  constexpr int64_t kVocab = 1 << 19;  // 1 MiB per row on each of two ranks
  auto group = Start(absl::StrCat("vocab_size=", kVocab), Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group, absl::Minutes(1), kVocab);
  StepPlan plan = Decode(1, 2);
  plan.slices[0].tokens = {1, 2, 3, 4, 5};
  plan.slices[0].logits = LogitsWanted::kAll;
  plan.slices[1].logits = LogitsWanted::kLast;
  const absl::StatusOr<StepResult> result = executor->Execute(plan);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->logits.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const LogitsBlock& block = result->logits[i];
    EXPECT_EQ(block.sequence.value, i / 2 + 1);
    EXPECT_EQ(block.rows, i < 2 ? 5 : 1);
    EXPECT_EQ(block.vocab_begin, i % 2 == 0 ? 0 : kVocab / 2);
    const int64_t width = block.vocab_end - block.vocab_begin;
    ASSERT_EQ(static_cast<int64_t>(block.values.size()), block.rows * width);
    bool same = true;
    for (int64_t row = 0; row < block.rows; ++row) {
      for (int64_t id = 0; id < width; ++id) {
        same = same && block.values[row * width + id] ==
                           FakeLogit(block.sequence, block.first_position + row,
                                     block.vocab_begin + id);
      }
    }
    EXPECT_TRUE(same) << i;
  }
}

TEST_F(WorkerGroupTest, AKilledWorkerEndsTheStepThatWaitsForIt) {
  auto group = Start("hang_at_step=2", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  ASSERT_TRUE(executor->Execute(Decode(1)).ok());
  const auto workers = (*group)->members()->registrations();
  std::thread killer([&] {
    absl::SleepFor(absl::Milliseconds(200));
    kill(static_cast<pid_t>(workers[1].pid), SIGKILL);
  });
  const absl::Time before = absl::Now();
  const absl::Status status = executor->Execute(Decode(2)).status();
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
  killer.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("worker 1"), HasSubstr(workers[1].hostname),
                    HasSubstr("killed by signal 9")));
  EXPECT_EQ((*group)->members()->health(), status);

  const absl::Time again = absl::Now();
  EXPECT_EQ(executor->Execute(Decode(3)).status(), status);
  EXPECT_LT(absl::Now() - again, absl::Milliseconds(500));
  // The worker that hung was aborted: it leaves without being killed.
  EXPECT_TRUE((*group)->Shutdown().ok());
}

TEST_F(WorkerGroupTest, StepsRunAheadOfTheirResults) {
  for (int stages : {1, 2}) {
    SCOPED_TRACE(stages);
    WorkerGroupOptions options = Options(2);
    options.common.parallelism.pp_size = stages;
    options.common.parallelism.tp_size = 2 / stages;
    auto group = Start("", options);
    ASSERT_TRUE(group.ok()) << group.status();
    const auto executor = MakeExecutor(**group, absl::Minutes(1), 1000, stages);
    EXPECT_EQ(executor->stages(), stages);
    uint64_t started = 0;
    for (uint64_t step = 1; step <= 300; ++step) {
      while (started < step + static_cast<uint64_t>(stages)) {
        ASSERT_TRUE(executor->Start(Decode(++started)).ok());
      }
      const absl::StatusOr<StepResult> result = executor->Finish();
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->step, step);
      EXPECT_EQ(result->rank_compute.size(), 2u);
      ASSERT_EQ(result->tokens.size(), 3u);
      for (const SampledToken& token : result->tokens) {
        EXPECT_EQ(token.token,
                  FakeToken(token.sequence, static_cast<int64_t>(step), 1000));
      }
    }
    // Workers finish what they were given before they leave.
    EXPECT_TRUE((*group)->Shutdown().ok());
    for (int i = 0; i < stages; ++i) EXPECT_TRUE(executor->Finish().ok());
  }
}

TEST_F(WorkerGroupTest, AWorkerThatDiesVoidsAllUnfinishedSteps) {
  auto group = Start("hang_at_step=2", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  ASSERT_TRUE(executor->Execute(Decode(1)).ok());
  const auto workers = (*group)->members()->registrations();
  ASSERT_TRUE(executor->Start(Decode(2)).ok());
  ASSERT_TRUE(executor->Start(Decode(3)).ok());
  kill(static_cast<pid_t>(workers[1].pid), SIGKILL);
  const absl::Status status = executor->Finish().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("worker 1"), HasSubstr("killed by signal 9")));
  EXPECT_EQ(executor->Start(Decode(4)), status);
  EXPECT_TRUE((*group)->Shutdown().ok());
}

TEST_F(WorkerGroupTest, ARefusedPlanVoidsThoseBeforeItAndHarmsNothing) {
  auto group = Start("compute=20000", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  ASSERT_TRUE(executor->Start(Decode(1)).ok());
  EXPECT_EQ(executor->Start(StepPlan()).code(),
            absl::StatusCode::kInvalidArgument);
  for (uint64_t step = 2; step <= 4; ++step) {
    const absl::StatusOr<StepResult> result = executor->Execute(Decode(step));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, step);
  }
}

// Above gRPC's own limit of 4 MiB.
TEST_F(WorkerGroupTest, AStepFullOfMasksArrivesWhole) {
  auto group = Start("", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  StepPlan plan = Decode(1, 300);
  for (SequenceSlice& slice : plan.slices) {
    slice.mask = std::make_shared<TokenMask>(4096, ~uint64_t{0});
  }
  const absl::StatusOr<StepResult> result = executor->Execute(plan);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->tokens.size(), 300u);
}

TEST_F(WorkerGroupTest, AStepTooLargeForAMessageReachesNoWorker) {
  auto group = Start("", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  StepPlan plan = Decode(1, 3000);
  for (SequenceSlice& slice : plan.slices) {
    slice.mask = std::make_shared<TokenMask>(4096, ~uint64_t{0});
  }
  EXPECT_EQ(executor->Execute(plan).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(executor->Execute(Decode(1)).ok());
}

TEST_F(WorkerGroupTest, AnIdleWorkersDeathShowsInHealth) {
  auto group = Start("", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto workers = (*group)->members()->registrations();
  kill(static_cast<pid_t>(workers[0].pid), SIGKILL);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  const auto explained = [&] {
    return absl::StrContains(Message((*group)->members()->health()),
                             "killed by signal 9");
  };
  while (!explained() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_TRUE(explained()) << (*group)->members()->health();
}

TEST_F(WorkerGroupTest, AWorkerThatExitsIsNamedWithItsExitCode) {
  auto group = Start("exit_at_step=2,only_rank=1", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  ASSERT_TRUE(executor->Execute(Decode(1)).ok());
  const absl::Status status = executor->Execute(Decode(2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("worker 1"), HasSubstr("exited with code 3")));
}

TEST_F(WorkerGroupTest, AFailedStepIsTheFailureOfItsWorker) {
  auto group = Start("fail_at_step=2,only_rank=0", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  ASSERT_TRUE(executor->Execute(Decode(1)).ok());
  const absl::Status status = executor->Execute(Decode(2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("worker 0"), HasSubstr("a page went bad")));
}

TEST_F(WorkerGroupTest, AStoppedWorkerIsLostAfterTheHeartbeatTimeout) {
  WorkerGroupOptions options = Options(2);
  options.heartbeat_interval = absl::Milliseconds(200);
  options.heartbeat_timeout = absl::Seconds(2);
  auto group = Start("hang_at_step=1", options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  const auto workers = (*group)->members()->registrations();
  kill(static_cast<pid_t>(workers[1].pid), SIGSTOP);
  const absl::Time before = absl::Now();
  const absl::Status status = executor->Execute(Decode(1)).status();
  EXPECT_LT(absl::Now() - before, absl::Seconds(20));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("worker 1"), HasSubstr("not heard of")));
  kill(static_cast<pid_t>(workers[1].pid), SIGCONT);
}

TEST_F(WorkerGroupTest, AStepPastItsDeadlineNamesTheRanksThatAreMissing) {
  auto group = Start("hang_at_step=2,only_rank=1", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group, absl::Milliseconds(700));
  ASSERT_TRUE(executor->Execute(Decode(1)).ok());
  const absl::Status status = executor->Execute(Decode(2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("no answer after 700ms from rank 1"));
}

TEST_F(WorkerGroupTest, APlanThatIsRefusedReachesNoWorker) {
  auto group = Start("", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  EXPECT_EQ(executor->Execute(StepPlan()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(executor->Execute(Decode(1)).ok());
}

TEST_F(WorkerGroupTest, AWorkerToldToLeaveSaysSo) {
  auto group = Start("", Options(2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  ASSERT_TRUE(executor->Execute(Decode(1)).ok());
  const auto workers = (*group)->members()->registrations();
  kill(static_cast<pid_t>(workers[0].pid), SIGTERM);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while ((*group)->members()->health().ok() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_THAT(Message(executor->Execute(Decode(2)).status()),
              AllOf(HasSubstr("worker 0"), HasSubstr("received SIGTERM")));
}

TEST_F(WorkerGroupTest, AnErrorInLoadingComesBackWithItsCode) {
  const absl::Status status =
      Start("load_error=tensor x is short", Options(2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(status), HasSubstr("tensor x is short"));
}

TEST_F(WorkerGroupTest, LoadingIsReportedOverAllWorkers) {
  std::atomic<int64_t> most_done = 0;
  std::atomic<int64_t> total_at_end = 0;
  WorkerGroupOptions options = Options(2);
  options.load_progress = [&](int64_t done, int64_t total) {
    if (done > most_done) most_done = done;
    total_at_end = total;
  };
  auto group = Start("", options);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(most_done, 200);
  EXPECT_EQ(total_at_end, 200);
}

TEST_F(WorkerGroupTest, AProgramThatIsNoWorkerFailsTheStart) {
  WorkerGroupOptions options = Options(2);
  options.executable = "/bin/false";
  const absl::Status status = WorkerGroup::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("exited with code 1"));
  options.executable = "/no/such/file";
  EXPECT_THAT(Message(WorkerGroup::Start(options).status()),
              HasSubstr("cannot run /no/such/file"));
}

TEST_F(WorkerGroupTest, NoChildIsLeftBehind) {
  std::vector<int64_t> pids;
  {
    auto group = Start("", Options(2));
    ASSERT_TRUE(group.ok()) << group.status();
    for (const auto& worker : (*group)->members()->registrations()) {
      pids.push_back(worker.pid);
    }
  }
  for (int64_t pid : pids) {
    EXPECT_NE(kill(static_cast<pid_t>(pid), 0), 0) << pid;
  }
}

TEST_F(WorkerGroupTest, AChildThatDoesNotLeaveIsKilled) {
  WorkerGroupOptions options = Options(1);
  options.leave_grace = options.exit_grace = absl::Milliseconds(500);
  auto group = Start("", options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto workers = (*group)->members()->registrations();
  kill(static_cast<pid_t>(workers[0].pid), SIGSTOP);
  const absl::Time before = absl::Now();
  EXPECT_FALSE((*group)->Shutdown().ok());
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
  EXPECT_NE(kill(static_cast<pid_t>(workers[0].pid), 0), 0);
}

TEST_F(WorkerGroupTest, APortInUseIsNamed) {
  auto first = Start("", Options(1));
  ASSERT_TRUE(first.ok()) << first.status();
  WorkerGroupOptions options = Options(1);
  options.control_address = (*first)->control_address();
  const absl::Status status = Start("", options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr(options.control_address), HasSubstr("in use"),
                    Not(HasSubstr("\n"))));
}

// Rank 1 is killed again and again, rank 0 lives through all of it.
TEST_F(WorkerGroupTest, EndedChildrenAreStartedAgain) {
  WorkerGroupOptions options = Options(2);
  options.recover = true;
  std::mutex mutex;
  std::vector<std::string> log;
  options.report = [&](const std::string& line) {
    const std::lock_guard<std::mutex> lock(mutex);
    log.push_back(line);
  };
  auto group = Start("", options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  const auto first = (*group)->members()->registrations();
  EXPECT_TRUE(executor->Execute(Decode(1)).ok());
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    const auto before = (*group)->members()->registrations();
    kill(static_cast<pid_t>(before[1].pid), SIGKILL);
    uint64_t step = 2;
    while (executor->Execute(Decode(step)).ok()) ++step;
    while (!executor->Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_TRUE(executor->Execute(Decode(step)).ok());
    const auto after = (*group)->members()->registrations();
    EXPECT_EQ(after[0].pid, first[0].pid);
    EXPECT_NE(after[1].pid, before[1].pid);
  }
  EXPECT_EQ((*group)->world()->epoch, 4u);
  EXPECT_TRUE((*group)->Shutdown().ok());
  ASSERT_EQ(log.size(), 6u);
  EXPECT_THAT(log[0], AllOf(HasSubstr("epoch 1 is lost: worker 1"),
                            HasSubstr("killed by signal 9")));
  EXPECT_THAT(log[1], HasSubstr("epoch 2 is ready"));
}

// Workers that others start. They run on threads of this process.
class RemoteWorkersTest : public WorkerGroupTest {
 protected:
  struct Remote {
    std::thread thread;
    absl::Status status;
    ~Remote() {
      if (thread.joinable()) thread.join();
    }
  };

  static std::unique_ptr<Remote> Join(
      const std::string& address, const FakeWorkerOptions& fake = {},
      absl::Duration timeout = absl::Seconds(20), bool grow = false) {
    auto remote = std::make_unique<Remote>();
    remote->thread = std::thread([=, remote = remote.get()] {
      WorkerOptions options;
      options.coordinator = address;
      options.join_timeout = timeout;
      options.grow = grow;
      options.own_process = false;
      remote->status = RunWorker(options, FakeParts(fake));
    });
    return remote;
  }

  static ParallelismOptions TensorRanks(
      const std::vector<WorkerRegistration>& workers) {
    ParallelismOptions plan;
    plan.tp_size = static_cast<int>(workers.size());
    return plan;
  }

  // Steps go on until one is done in a world of `workers`.
  static void StepUntilWorldHas(int workers, const WorkerGroup& group,
                                Executor& executor) {
    for (uint64_t step = 10;; ++step) {
      const bool now = group.members()->world_size() == workers;
      if (!executor.Execute(Decode(step)).ok()) {
        while (!executor.Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
      } else if (now) {
        return;
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  // An address that was free a moment ago.
  static std::string FreeAddress() {
    class NoEvents : public WorkerEvents {
      absl::StatusOr<int> OnRegister(WorkerRegistration,
                                     std::shared_ptr<WorkerLink>) override {
        return absl::UnavailableError("");
      }
      void OnMessage(int, WorkerMessage) override {}
      void OnGone(int, const absl::Status&) override {}
    } events;
    return (*ControlServer::Start("127.0.0.1:0", &events))->address();
  }

  static WorkerGroupOptions RemoteOptions(int workers) {
    WorkerGroupOptions options = Options(workers);
    options.remote = true;
    options.control_address = FreeAddress();
    return options;
  }
};

TEST_F(RemoteWorkersTest, WorkersMayComeBeforeTheCoordinator) {
  const WorkerGroupOptions options = RemoteOptions(2);
  const auto one = Join(options.control_address);
  const auto two = Join(options.control_address);
  absl::SleepFor(absl::Milliseconds(300));
  auto group = WorkerGroup::Start(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  for (uint64_t step = 1; step <= 20; ++step) {
    ASSERT_TRUE(executor->Execute(Decode(step)).ok());
  }
  EXPECT_TRUE((*group)->Shutdown().ok());
  one->thread.join();
  two->thread.join();
  EXPECT_TRUE(one->status.ok()) << one->status;
  EXPECT_TRUE(two->status.ok()) << two->status;
}

TEST_F(RemoteWorkersTest, OneWorkerMoreThanThereIsWorkForTakesALostOnesPlace) {
  WorkerGroupOptions options = RemoteOptions(1);
  options.recover = true;
  FakeWorkerOptions fails;
  fails.fail_at_step = 2;
  const auto one = Join(options.control_address, fails);
  auto group = WorkerGroup::Start(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto two = Join(options.control_address);
  while ((*group)->spares() == 0) absl::SleepFor(absl::Milliseconds(5));
  const auto executor = MakeExecutor(**group);
  EXPECT_TRUE(executor->Execute(Decode(1)).ok());
  EXPECT_THAT(Message(executor->Execute(Decode(2)).status()),
              HasSubstr("a page went bad"));
  one->thread.join();
  EXPECT_EQ(one->status.code(), absl::StatusCode::kDataLoss);
  while (!executor->Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(executor->Execute(Decode(3)).ok());
  EXPECT_EQ((*group)->spares(), 0);
  EXPECT_TRUE((*group)->Shutdown().ok());
  two->thread.join();
  EXPECT_TRUE(two->status.ok()) << two->status;
}

TEST_F(RemoteWorkersTest, AnotherBuildIsRefusedAndBothAreNamed) {
  WorkerGroupOptions options = RemoteOptions(1);
  options.join_timeout = absl::Seconds(3);
  ChildProcessOptions child;
  child.executable = kFakeWorker;
  child.argv = {"fake_worker",
                absl::StrCat("--coordinator=", options.control_address)};
  child.environment = {{"FACET_BUILD_ID", "build of yesterday"}};
  std::string how;
  child.on_exit = [&](const std::string& reason) { how = reason; };
  auto worker = ChildProcess::Start(child);
  ASSERT_TRUE(worker.ok()) << worker.status();
  const absl::Status status = WorkerGroup::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("0 of 1 workers"), HasSubstr(kBuild),
                    HasSubstr("build of yesterday"), Not(HasSubstr("\n"))));
  EXPECT_TRUE((*worker)->WaitUntilGone(absl::Now() + absl::Seconds(10)));
  worker->reset();
  EXPECT_EQ(how, "exited with code 1");
}

TEST_F(RemoteWorkersTest, AnotherNumericsModeIsRefusedAndBothAreNamed) {
  WorkerGroupOptions options = RemoteOptions(2);
  options.join_timeout = absl::Seconds(4);
  FakeWorkerOptions other;
  other.mode = "bf16-avx512bf16";
  const auto one = Join(options.control_address);
  std::unique_ptr<Remote> two;
  std::thread later([&] {
    absl::SleepFor(absl::Milliseconds(1500));
    two = Join(options.control_address, other);
  });
  const absl::Status status = WorkerGroup::Start(options).status();
  later.join();
  two->thread.join();
  EXPECT_EQ(two->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(two->status),
              AllOf(HasSubstr("expected f32"), HasSubstr(other.mode)));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("1 of 2 workers"));
}

TEST_F(RemoteWorkersTest, AWorkerWithoutTheTokenIsRefused) {
  WorkerGroupOptions options = RemoteOptions(1);
  options.join_token = "secret";
  options.join_timeout = absl::Seconds(1);
  const auto one = Join(options.control_address);
  EXPECT_EQ(WorkerGroup::Start(options).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  one->thread.join();
  EXPECT_EQ(one->status.code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(RemoteWorkersTest, ACoordinatorThatCannotBeReachedIsNamed) {
  const std::string address = FreeAddress();
  const auto one = Join(address, {}, absl::Milliseconds(700));
  one->thread.join();
  EXPECT_EQ(one->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Message(one->status),
              HasSubstr(absl::StrCat("cannot reach coordinator at ", address)));
}

TEST_F(RemoteWorkersTest, AWorkerComesBackWhenItsWorldIsLost) {
  WorkerGroupOptions options = RemoteOptions(2);
  options.recover = true;
  FakeWorkerOptions hangs;
  hangs.hang_at_step = 1;
  hangs.only_rank = 0;
  FakeWorkerOptions fails;
  fails.fail_at_step = 1;
  fails.only_rank = 1;
  const auto one = Join(options.control_address, hangs);
  absl::SleepFor(absl::Milliseconds(100));
  std::unique_ptr<Remote> two;
  std::thread later([&] {
    absl::SleepFor(absl::Milliseconds(1500));
    two = Join(options.control_address, fails);
  });
  auto group = WorkerGroup::Start(options);
  later.join();
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  const absl::Status status = executor->Execute(Decode(1)).status();
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("worker 1"), HasSubstr("a page went bad")));
  EXPECT_EQ(executor->Resume().code(), absl::StatusCode::kUnavailable);
  const auto three = Join(options.control_address);
  while (!executor->Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(executor->Execute(Decode(2)).ok());
  EXPECT_TRUE((*group)->Shutdown().ok());
  for (const auto* worker : {&one, &three}) {
    (*worker)->thread.join();
    EXPECT_TRUE((*worker)->status.ok()) << (*worker)->status;
  }
}

TEST_F(RemoteWorkersTest, FewerWorkersStandInAndMoreTakePartAgain) {
  WorkerGroupOptions options = RemoteOptions(2);
  options.recover = true;
  options.shrink_after = absl::Milliseconds(300);
  options.plan_for = TensorRanks;
  FakeWorkerOptions fails;
  fails.fail_at_step = 1;
  const auto one = Join(options.control_address);
  const auto two = Join(options.control_address, fails);
  auto group = WorkerGroup::Start(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  EXPECT_FALSE(executor->Execute(Decode(1)).ok());
  while (!executor->Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ((*group)->members()->world_size(), 1);
  EXPECT_EQ((*group)->condition().wanted, 2);
  EXPECT_TRUE(executor->Execute(Decode(2)).ok());

  const auto three = Join(options.control_address);
  StepUntilWorldHas(2, **group, *executor);
  EXPECT_TRUE((*group)->Shutdown().ok());
  for (const auto* worker : {&one, &two, &three}) (*worker)->thread.join();
  EXPECT_TRUE(three->status.ok()) << three->status;
}

TEST_F(RemoteWorkersTest, APartThatIsTooLargeIsTriedOnceAndTheOthersWaitedFor) {
  WorkerGroupOptions options = RemoteOptions(2);
  options.recover = true;
  options.shrink_after = absl::Milliseconds(100);
  options.plan_for = TensorRanks;
  std::mutex mutex;
  std::string said;
  options.report = [&](const std::string& line) {
    const std::lock_guard<std::mutex> lock(mutex);
    absl::StrAppend(&said, line, "\n");
  };
  FakeWorkerOptions large;
  large.least_world = 2;
  FakeWorkerOptions fails = large;
  fails.fail_at_step = 1;
  const auto one = Join(options.control_address, large);
  const auto two = Join(options.control_address, fails);
  auto group = WorkerGroup::Start(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  EXPECT_FALSE(executor->Execute(Decode(1)).ok());
  const auto too_large = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return absl::StrContains(said, "the part is too large");
  };
  while (!too_large()) absl::SleepFor(absl::Milliseconds(5));
  const auto three = Join(options.control_address, large);
  while (!executor->Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ((*group)->members()->world_size(), 2);
  EXPECT_TRUE(executor->Execute(Decode(2)).ok());
  EXPECT_TRUE((*group)->Shutdown().ok());
  for (const auto* worker : {&one, &two, &three}) (*worker)->thread.join();
  EXPECT_TRUE(one->status.ok()) << one->status;
}

TEST_F(RemoteWorkersTest, AWorkerThatAsksForItGetsAPlaceOfItsOwn) {
  WorkerGroupOptions options = RemoteOptions(1);
  options.recover = true;
  options.plan_for = TensorRanks;
  const auto one = Join(options.control_address);
  auto group = WorkerGroup::Start(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  const auto spare = Join(options.control_address);
  while ((*group)->spares() == 0) absl::SleepFor(absl::Milliseconds(5));
  const auto more =
      Join(options.control_address, {}, absl::Seconds(20), /*grow=*/true);
  StepUntilWorldHas(2, **group, *executor);
  EXPECT_EQ((*group)->spares(), 1);
  EXPECT_EQ(StandIns((*group)->condition()), "");
  EXPECT_TRUE((*group)->Shutdown().ok());
  for (const auto* worker : {&one, &spare, &more}) (*worker)->thread.join();
}

TEST_F(RemoteWorkersTest, WorkersThatCannotHoldTheModelAloneWait) {
  WorkerGroupOptions options = RemoteOptions(2);
  options.recover = true;
  options.shrink_after = absl::Milliseconds(50);
  std::atomic<int> asked = 0;
  options.plan_for = [&](const std::vector<WorkerRegistration>&)
      -> absl::StatusOr<ParallelismOptions> {
    ++asked;
    return absl::ResourceExhaustedError("too little memory");
  };
  FakeWorkerOptions fails;
  fails.fail_at_step = 1;
  const auto one = Join(options.control_address);
  const auto two = Join(options.control_address, fails);
  auto group = WorkerGroup::Start(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto executor = MakeExecutor(**group);
  EXPECT_FALSE(executor->Execute(Decode(1)).ok());
  while (asked < 3) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_FALSE(executor->Resume().ok());
  const auto three = Join(options.control_address);
  while (!executor->Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ((*group)->members()->world_size(), 2);
  EXPECT_TRUE((*group)->Shutdown().ok());
  for (const auto* worker : {&one, &two, &three}) (*worker)->thread.join();
}

TEST_F(RemoteWorkersTest, TooFewWorkersInTimeAreCounted) {
  WorkerGroupOptions options = RemoteOptions(3);
  options.join_timeout = absl::Seconds(2);
  const auto one = Join(options.control_address);
  const absl::Status status = WorkerGroup::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Message(status), HasSubstr("1 of 3 workers joined in time"));
}

}  // namespace
}  // namespace facet
