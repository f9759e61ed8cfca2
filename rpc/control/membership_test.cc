// Membership alone: streams are fakes that record, time is a number.
#include "rpc/control/membership.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/control/testing/fake_link.h"

namespace facet {
namespace {

using testing::AllOf;
using testing::HasSubstr;

WorkerRegistration Worker(const std::string& token,
                          const std::string& hostname = "alpha",
                          const std::string& mode = "f32") {
  WorkerRegistration worker;
  worker.join_token = token;
  worker.build_id = "b1";
  worker.isa = "avx2";
  worker.modes = {{NumericsOptions(), mode}};
  worker.hostname = hostname;
  worker.pid = 42;
  return worker;
}

class MembershipTest : public testing::Test {
 protected:
  MembershipOptions Options(std::vector<std::string> tokens) {
    MembershipOptions options;
    options.tokens = std::move(tokens);
    options.build_id = "b1";
    options.clock = [this] { return now_; };
    return options;
  }

  // A world of two workers that are ready.
  std::unique_ptr<Membership> Ready(MembershipOptions options) {
    auto members = std::make_unique<Membership>(std::move(options));
    std::vector<WorkerAssignment> places(2);
    for (int i : {0, 1}) {
      links_.push_back(std::make_shared<FakeLink>());
      EXPECT_EQ(*members->OnRegister(Worker("t"), links_[i]), i);
      places[i].rank = i;
    }
    std::thread workers([&] {
      for (int i : {0, 1}) {
        while (links_[i]->Count<WorkerAssignment>() == 0) {
          std::this_thread::yield();
        }
        members->OnMessage(i, WorkerReady{});
      }
    });
    EXPECT_TRUE(members->AssignAndWaitUntilReady(places).ok());
    workers.join();
    return members;
  }

  // The answer to step 1 comes from both ranks once both have the plan.
  absl::StatusOr<StepResult> RunStep(Membership& members,
                                     std::function<void()> meanwhile) {
    StepPlan plan;
    plan.step = 1;
    std::thread workers([&] {
      for (const auto& link : links_) {
        while (link->Count<StepPlan>() == 0) std::this_thread::yield();
      }
      meanwhile();
    });
    EXPECT_TRUE(members.StartStep(plan, 100).ok());
    auto result = members.FinishStep(absl::Seconds(30));
    workers.join();
    return result;
  }

  static StepPlan Plan(uint64_t step) {
    StepPlan plan;
    plan.step = step;
    return plan;
  }

  static StepResult Answer(uint64_t step) {
    StepResult answer;
    answer.step = step;
    return answer;
  }

  absl::Time now_ = absl::UnixEpoch();
  std::vector<std::shared_ptr<FakeLink>> links_;
};

TEST_F(MembershipTest, EachTokenIsGoodForOnePlace) {
  Membership members(Options({"a", "b", "b"}));
  auto link = std::make_shared<FakeLink>();
  EXPECT_EQ(*members.OnRegister(Worker("b"), link), 1);
  EXPECT_EQ(*members.OnRegister(Worker("a"), link), 0);
  EXPECT_EQ(*members.OnRegister(Worker("b"), link), 2);
  EXPECT_EQ(members.OnRegister(Worker("b"), link).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(members.OnRegister(Worker("c"), link).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(MembershipTest, RefusalSaysWhatWasExpectedAndFound) {
  Membership members(Options({"t", "t"}));
  auto link = std::make_shared<FakeLink>();
  WorkerRegistration other = Worker("t", "beta");
  other.build_id = "b2";
  absl::Status status = members.OnRegister(other, link).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("beta"), HasSubstr("expected b1, found b2")));

  ASSERT_TRUE(members.OnRegister(Worker("t", "alpha", "m1"), link).ok());
  status = members.OnRegister(Worker("t", "beta", "m2"), link).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected m1 as on alpha, found m2"));
}

// Who runs which mode depends on what the cluster asks for.
TEST_F(MembershipTest, WorkersThatAgreeInF32MayDifferInFastNumerics) {
  NumericsOptions fast;
  fast.activations = Activations::kBF16;
  fast.fast = true;
  WorkerRegistration one = Worker("t", "alpha");
  one.modes.push_back({fast, "bf16-fma"});
  WorkerRegistration two = Worker("t", "beta");
  two.modes.push_back({fast, "bf16-dot"});
  auto link = std::make_shared<FakeLink>();

  Membership exact(Options({"t", "t"}));
  EXPECT_TRUE(exact.OnRegister(one, link).ok());
  EXPECT_TRUE(exact.OnRegister(two, link).ok());

  MembershipOptions options = Options({"t", "t", "t"});
  options.numerics = fast;
  Membership members(std::move(options));
  EXPECT_TRUE(members.OnRegister(one, link).ok());
  EXPECT_THAT(std::string(members.OnRegister(two, link).status().message()),
              HasSubstr("expected bf16-fma as on alpha, found bf16-dot"));
  // One that never heard of it.
  EXPECT_THAT(
      std::string(members.OnRegister(Worker("t"), link).status().message()),
      HasSubstr("cannot run the numerics mode this cluster runs, fast"));
}

TEST_F(MembershipTest, ProcessorsAndGpusDoNotMix) {
  Membership members(Options({"t", "t"}));
  auto link = std::make_shared<FakeLink>();
  WorkerRegistration gpu = Worker("t", "beta");
  gpu.device = "cuda";
  EXPECT_TRUE(members.OnRegister(Worker("t", "alpha"), link).ok());
  const absl::Status status = members.OnRegister(gpu, link).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected cpu as on alpha, found cuda"));
}

TEST_F(MembershipTest, APlaceIsFreeAgainWhenItsWorkerLeavesBeforeTheStart) {
  Membership members(Options({"t"}));
  auto link = std::make_shared<FakeLink>();
  ASSERT_TRUE(members.OnRegister(Worker("t"), link).ok());
  members.OnGone(0, absl::OkStatus());
  EXPECT_TRUE(members.OnRegister(Worker("t"), link).ok());
  EXPECT_TRUE(members.health().ok());
}

TEST_F(MembershipTest, SilenceIsNoticedAndTheOthersAreTold) {
  const auto members = Ready(Options({"t", "t"}));
  for (int i = 0; i < 14; ++i) {
    now_ += absl::Seconds(1);
    members->OnMessage(0, Heartbeat{});
    members->Tick();
  }
  EXPECT_TRUE(members->health().ok());
  EXPECT_EQ(links_[1]->Count<Heartbeat>(), 14);
  now_ += absl::Seconds(2);
  members->OnMessage(0, Heartbeat{});
  members->Tick();
  EXPECT_THAT(std::string(members->health().message()),
              AllOf(HasSubstr("worker 1 on alpha (pid 42)"),
                    HasSubstr("not heard of for 16s")));
  EXPECT_TRUE(links_[1]->cancelled());
  EXPECT_FALSE(links_[0]->closed().ok());
}

TEST_F(MembershipTest, APauseOfThisProcessIsNobodysSilence) {
  const auto members = Ready(Options({"t", "t"}));
  members->Tick();
  now_ += absl::Hours(1);
  members->Tick();
  EXPECT_TRUE(members->health().ok());
}

// Two ranks that say every second that they are there, in step 1.
class StallTest : public MembershipTest {
 protected:
  void Begin() {
    MembershipOptions options = Options({"t", "t"});
    options.stall_timeout = absl::Seconds(30);
    members_ = Ready(std::move(options));
    ASSERT_TRUE(members_->StartStep(Plan(1), 100).ok());
  }

  // `moves` grows where `moving`.
  void Beat(int member, int waits_for, bool moving) {
    RankActivity activity;
    activity.running = true;
    activity.step = 1;
    activity.layer = 2;
    activity.operation = waits_for < 0 ? "computing" : "#1 all-reduce 8 B";
    activity.waits_for = waits_for;
    activity.moves = moving ? ++moves_ : 1000;
    members_->OnMessage(member, Heartbeat{activity});
  }
  void Second() {
    now_ += absl::Seconds(1);
    members_->Tick();
  }

  std::unique_ptr<Membership> members_;
  uint64_t moves_ = 0;
};

TEST_F(StallTest, ARankThatAnswersButStandsStillIsTheLostOne) {
  Begin();
  for (int i = 0; i < 60 && members_->health().ok(); ++i) {
    Beat(0, 1, false);
    Beat(1, -1, false);
    Second();
    if (i == 20) {
      const Diagnosis diagnosis =
          Diagnose(members_->condition(), absl::Seconds(5));
      EXPECT_EQ(diagnosis.kind, Diagnosis::Kind::kStalled);
      EXPECT_EQ(diagnosis.rank, 1);
    }
  }
  EXPECT_EQ(members_->lost_member(), 1);
  EXPECT_GE(members_->detection(), absl::Seconds(29));
  EXPECT_LE(members_->detection(), absl::Seconds(33));
  EXPECT_THAT(std::string(members_->health().message()),
              AllOf(HasSubstr("worker 1"), HasSubstr("stands still"),
                    HasSubstr("rank 0 waits")));
}

TEST_F(StallTest, ASlowRankIsWaitedFor) {
  Begin();
  for (int i = 0; i < 300; ++i) {
    Beat(0, 1, false);
    Beat(1, -1, true);
    Second();
  }
  EXPECT_TRUE(members_->health().ok()) << members_->health();
  const Diagnosis diagnosis = Diagnose(members_->condition(), absl::Seconds(5));
  EXPECT_EQ(diagnosis.kind, Diagnosis::Kind::kSlow);
  EXPECT_EQ(diagnosis.rank, 1);
}

TEST_F(StallTest, WhereAllWaitForEachOtherNobodyIsTheCause) {
  Begin();
  for (int i = 0; i < 60 && members_->health().ok(); ++i) {
    Beat(0, 1, false);
    Beat(1, 0, false);
    Second();
  }
  EXPECT_EQ(members_->lost_member(), -1);
  EXPECT_THAT(std::string(members_->health().message()),
              HasSubstr("all wait for each other in step 1"));
  for (const auto& link : links_) EXPECT_FALSE(link->closed().ok());
}

TEST_F(StallTest, ALateStepIsBlamedOnTheRankTheOthersWaitFor) {
  Begin();
  for (int i = 0; i < 2; ++i) {
    now_ += absl::Seconds(i);
    Beat(0, 1, false);
    Beat(1, -1, false);
  }
  const absl::Status late =
      members_->FinishStep(absl::Milliseconds(50)).status();
  EXPECT_EQ(members_->lost_member(), 1);
  EXPECT_THAT(std::string(late.message()),
              AllOf(HasSubstr("no answer after 50ms from ranks 0, 1"),
                    HasSubstr("stands still")));
}

TEST_F(StallTest, BetweenStepsNobodyHasToMove) {
  Begin();
  for (int member : {0, 1}) members_->OnMessage(member, Answer(1));
  EXPECT_TRUE(members_->FinishStep(absl::Seconds(30)).ok());
  for (int i = 0; i < 300; ++i) {
    Beat(0, -1, false);
    Beat(1, -1, false);
    Second();
  }
  EXPECT_TRUE(members_->health().ok());
  EXPECT_EQ(Diagnose(members_->condition(), absl::Seconds(5)).kind,
            Diagnosis::Kind::kWell);
}

TEST_F(MembershipTest, TheExitOfAProcessExplainsItsBrokenStream) {
  MembershipOptions options = Options({"t", "t"});
  options.exits_are_reported = true;
  const auto members = Ready(options);
  const absl::Status status =
      RunStep(*members, [&] {
        // A peer notices first, and is no more than a symptom.
        members->OnMessage(
            0, WorkerFailed{absl::UnavailableError("rank 1 is gone")});
        members->OnGone(0, absl::OkStatus());
        members->OnGone(1, absl::OkStatus());
        members->OnExit(1, "was killed by signal 9 (Killed)");
      }).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("worker 1"), HasSubstr("killed by signal 9")));
}

TEST_F(MembershipTest, AWorkersOwnReasonIsNotReplacedByItsExit) {
  MembershipOptions options = Options({"t", "t"});
  options.exits_are_reported = true;
  const auto members = Ready(options);
  const absl::Status status =
      RunStep(*members, [&] {
        members->OnMessage(1, WorkerFailed{absl::DataLossError("bad page")});
        members->OnGone(1, absl::OkStatus());
        members->OnExit(1, "exited with code 1");
      }).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("worker 1"), HasSubstr("bad page")));
  EXPECT_EQ(members->health(), status);
}

TEST_F(MembershipTest, AMessageOutOfTurnIsAFailure) {
  const auto members = Ready(Options({"t", "t"}));
  members->OnMessage(1, StepResult());
  EXPECT_THAT(std::string(members->health().message()),
              AllOf(HasSubstr("worker 1"), HasSubstr("out of turn")));
}

TEST_F(MembershipTest, AShutdownLetsTheStepEnd) {
  const auto members = Ready(Options({"t", "t"}));
  std::thread closer;
  const auto result = RunStep(*members, [&] {
    closer = std::thread([&] { members->Shutdown("done", absl::Seconds(20)); });
    while (links_[1]->Count<WorkerShutdown>() == 0) std::this_thread::yield();
    StepResult answer;
    answer.step = 1;
    for (int i : {0, 1}) members->OnMessage(i, answer);
    for (int i : {0, 1}) members->OnGone(i, absl::OkStatus());
  });
  closer.join();
  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(links_[0]->cancelled());
}

// A rank of an early stage may be steps ahead of the last stage's.
TEST_F(MembershipTest, AnswersToSeveralStepsMayInterleaveBetweenRanks) {
  for (const std::vector<int>& order : std::vector<std::vector<int>>{
           {0, 0, 0, 1, 1, 1}, {1, 0, 0, 1, 0, 1}, {0, 1, 0, 1, 0, 1}}) {
    links_.clear();
    const auto members = Ready(Options({"t", "t"}));
    for (uint64_t step : {5, 6, 7}) {
      ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
    }
    EXPECT_EQ(links_[1]->Count<StepPlan>(), 3);
    uint64_t next[2] = {5, 5};
    for (int member : order) members->OnMessage(member, Answer(next[member]++));
    for (uint64_t step : {5, 6, 7}) {
      const auto result = members->FinishStep(absl::Seconds(30));
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->step, step);
    }
    EXPECT_TRUE(members->health().ok());
  }
}

TEST_F(MembershipTest, ARankAnswersItsStepsInTheirOrder) {
  const auto members = Ready(Options({"t", "t"}));
  for (uint64_t step : {1, 2}) {
    ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
  }
  members->OnMessage(1, Answer(2));
  EXPECT_THAT(
      std::string(members->health().message()),
      AllOf(HasSubstr("worker 1"), HasSubstr("step 2, expected step 1")));
  EXPECT_FALSE(members->FinishStep(absl::Seconds(30)).ok());
}

TEST_F(MembershipTest, ASecondAnswerToAStepIsAFailure) {
  const auto members = Ready(Options({"t", "t"}));
  for (uint64_t step : {1, 2}) {
    ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
  }
  members->OnMessage(0, Answer(1));
  members->OnMessage(1, Answer(1));
  EXPECT_TRUE(members->FinishStep(absl::Seconds(30)).ok());
  members->OnMessage(0, Answer(1));
  EXPECT_THAT(
      std::string(members->health().message()),
      AllOf(HasSubstr("worker 0"), HasSubstr("step 1, expected step 2")));
}

TEST_F(MembershipTest, AnAnswerBehindTheLastStepIsAFailure) {
  const auto members = Ready(Options({"t", "t"}));
  ASSERT_TRUE(members->StartStep(Plan(1), 100).ok());
  members->OnMessage(0, Answer(1));
  members->OnMessage(0, Answer(2));
  EXPECT_THAT(std::string(members->health().message()),
              AllOf(HasSubstr("worker 0"), HasSubstr("owes no answer")));
}

TEST_F(MembershipTest, ALostWorkerVoidsAllUnfinishedSteps) {
  const auto members = Ready(Options({"t", "t"}));
  for (uint64_t step : {1, 2, 3}) {
    ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
  }
  for (int member : {0, 1}) members->OnMessage(member, Answer(1));
  members->OnMessage(0, Answer(2));
  members->OnMessage(1, WorkerFailed{absl::DataLossError("bad page")});
  // What was answered in full before is still good.
  EXPECT_TRUE(members->FinishStep(absl::Seconds(30)).ok());
  const absl::Status lost = members->FinishStep(absl::Seconds(30)).status();
  EXPECT_EQ(lost.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(lost.message()), HasSubstr("bad page"));
  // Answers that were on their way change nothing.
  members->OnMessage(0, Answer(3));
  EXPECT_EQ(members->StartStep(Plan(4), 100), lost);
}

TEST_F(MembershipTest, AStepsTimeCountsFromWhenItBecameTheOldest) {
  const auto members = Ready(Options({"t", "t"}));
  for (uint64_t step : {1, 2}) {
    ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
  }
  absl::SleepFor(absl::Milliseconds(400));
  for (int member : {0, 1}) members->OnMessage(member, Answer(1));
  EXPECT_TRUE(members->FinishStep(absl::Milliseconds(300)).ok());
  members->OnMessage(0, Answer(2));
  const absl::Time before = absl::Now();
  const absl::Status late =
      members->FinishStep(absl::Milliseconds(300)).status();
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(250));
  EXPECT_THAT(std::string(late.message()),
              HasSubstr("step 2 has no answer after 300ms from rank 1"));
}

TEST_F(MembershipTest, AResultWithoutItsTokensIsAFailure) {
  const auto members = Ready(Options({"t", "t"}));
  StepPlan plan = Plan(1);
  plan.slices.resize(1);
  plan.slices[0].tokens = {3};
  plan.slices[0].sample = true;
  ASSERT_TRUE(members->StartStep(plan, 100).ok());
  for (int member : {0, 1}) members->OnMessage(member, Answer(1));
  const absl::Status status = members->FinishStep(absl::Seconds(30)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("no token"));
  EXPECT_EQ(members->health(), status);
}

// Heartbeats go on while steps run: a rank that is done with its part hears
// nothing else until the others are.
TEST_F(MembershipTest, ALongStepDoesNotSilenceTheCoordinator) {
  const auto members = Ready(Options({"t", "t"}));
  ASSERT_TRUE(members->StartStep(Plan(1), 100).ok());
  for (int i = 0; i < 5; ++i) {
    now_ += absl::Seconds(1);
    for (int member : {0, 1}) members->OnMessage(member, Heartbeat{});
    members->Tick();
  }
  EXPECT_EQ(links_[0]->Count<Heartbeat>(), 5);
}

TEST_F(MembershipTest, AShutdownLetsAllUnfinishedStepsEnd) {
  const auto members = Ready(Options({"t", "t"}));
  for (uint64_t step : {1, 2}) {
    ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
  }
  std::thread closer([&] { members->Shutdown("done", absl::Seconds(20)); });
  while (links_[1]->Count<WorkerShutdown>() == 0) std::this_thread::yield();
  for (int member : {0, 1}) {
    for (uint64_t step : {1, 2}) members->OnMessage(member, Answer(step));
    members->OnGone(member, absl::OkStatus());
  }
  closer.join();
  EXPECT_TRUE(members->FinishStep(absl::Seconds(30)).ok());
  EXPECT_TRUE(members->FinishStep(absl::Seconds(30)).ok());
  EXPECT_EQ(members->StartStep(Plan(3), 100).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(MembershipTest, AShutdownEndsStepsWhoseWorkersAreGone) {
  const auto members = Ready(Options({"t", "t"}));
  for (uint64_t step : {1, 2}) {
    ASSERT_TRUE(members->StartStep(Plan(step), 100).ok());
  }
  std::thread closer([&] { members->Shutdown("done", absl::Seconds(20)); });
  while (links_[1]->Count<WorkerShutdown>() == 0) std::this_thread::yield();
  members->OnMessage(0, Answer(1));
  for (int member : {0, 1}) members->OnGone(member, absl::OkStatus());
  closer.join();
  EXPECT_EQ(members->FinishStep(absl::Seconds(30)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(MembershipTest, AShutdownCancelsStreamsThatStay) {
  const auto members = Ready(Options({"t", "t"}));
  members->OnGone(0, absl::OkStatus());
  members->Shutdown("done", absl::Milliseconds(20));
  EXPECT_TRUE(links_[1]->cancelled());
}

}  // namespace
}  // namespace facet
