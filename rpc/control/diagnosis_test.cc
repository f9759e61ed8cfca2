#include "rpc/control/diagnosis.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using Kind = Diagnosis::Kind;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(5);

// Four ranks in step 7, all of which moved just now.
ClusterCondition Running() {
  ClusterCondition cluster;
  cluster.epoch = 3;
  cluster.step = 7;
  cluster.step_age = absl::Seconds(20);
  for (int i = 0; i < 4; ++i) {
    RankCondition& rank = cluster.ranks.emplace_back();
    rank.rank = i;
    rank.host = "alpha";
    rank.pid = 100 + i;
    rank.state = RankCondition::State::kReady;
    rank.owes = true;
    rank.activity.running = true;
    rank.activity.step = 7;
    rank.activity.layer = 3;
    rank.activity.operation = "computing";
  }
  return cluster;
}

void Wait(ClusterCondition& cluster, int rank, int for_rank) {
  RankCondition& one = cluster.ranks[rank];
  one.still = absl::Seconds(19);
  one.activity.waits_for = for_rank;
  one.activity.waits = absl::Seconds(19);
  one.activity.operation = "#5 all-reduce 64 B";
}

TEST(DiagnosisTest, ARankThatStandsStillIsNamedAndNotThoseThatWait) {
  ClusterCondition cluster = Running();
  Wait(cluster, 0, 1);
  Wait(cluster, 1, 2);
  Wait(cluster, 3, 2);
  cluster.ranks[2].still = absl::Seconds(19);
  const Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_EQ(diagnosis.kind, Kind::kStalled);
  EXPECT_EQ(diagnosis.rank, 2);
  EXPECT_TRUE(diagnosis.wrong());
  EXPECT_THAT(diagnosis.verdict,
              AllOf(HasSubstr("rank 2 on alpha (pid 102) stands still"),
                    HasSubstr("19s in step 7, layer 3"),
                    HasSubstr("ranks 0, 1 and 3 wait")));
}

TEST(DiagnosisTest, ARankThatMovesIsSlowAndNothingIsWrong) {
  ClusterCondition cluster = Running();
  for (int rank : {0, 1, 3}) Wait(cluster, rank, 2);
  cluster.ranks[2].still = absl::Seconds(1);
  const Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_EQ(diagnosis.kind, Kind::kSlow);
  EXPECT_EQ(diagnosis.rank, 2);
  EXPECT_FALSE(diagnosis.wrong());
  EXPECT_THAT(diagnosis.verdict, HasSubstr("slow but moves"));
}

TEST(DiagnosisTest, RanksThatWaitForEachOtherAreADeadlock) {
  ClusterCondition cluster = Running();
  Wait(cluster, 0, 1);
  Wait(cluster, 1, 0);
  Wait(cluster, 2, 0);
  Wait(cluster, 3, 1);
  const Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_EQ(diagnosis.kind, Kind::kDeadlock);
  EXPECT_EQ(diagnosis.rank, -1);
  EXPECT_THAT(diagnosis.verdict, AllOf(HasSubstr("rank 0 for rank 1"),
                                       HasSubstr("rank 1 for rank 0")));
  // Bytes that still trickle in are none.
  cluster.ranks[0].still = absl::Seconds(1);
  EXPECT_FALSE(Diagnose(cluster, kPatience).wrong());
}

TEST(DiagnosisTest, ARankThatNeverBeganTheStepStandsStill) {
  ClusterCondition cluster = Running();
  for (int rank : {0, 2, 3}) Wait(cluster, rank, 1);
  cluster.ranks[1].still = absl::Seconds(19);
  cluster.ranks[1].activity = RankActivity();
  const Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_EQ(diagnosis.kind, Kind::kStalled);
  EXPECT_EQ(diagnosis.rank, 1);
  EXPECT_THAT(diagnosis.verdict, HasSubstr("step 7, which it has not begun"));
}

TEST(DiagnosisTest, WhereCallsDoNotSayForWhomTheRankInNoneIsTheStalledOne) {
  ClusterCondition cluster = Running();
  for (RankCondition& rank : cluster.ranks) {
    rank.still = absl::Seconds(9);
    if (rank.rank != 3) rank.activity.operation = "#5 all-reduce 64 B";
  }
  EXPECT_EQ(Diagnose(cluster, kPatience).rank, 3);
}

TEST(DiagnosisTest, FewerWorkersThanWantedAreToldButNotWrong) {
  ClusterCondition cluster = Running();
  cluster.wanted = 4;
  EXPECT_EQ(StandIns(cluster), "");
  cluster.wanted = 8;
  const Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_FALSE(diagnosis.wrong());
  EXPECT_THAT(diagnosis.verdict, HasSubstr("; 4 workers stand in for 8"));
  EXPECT_THAT(diagnosis.advice, HasSubstr("start the others"));
}

TEST(DiagnosisTest, SilenceIsSaidBeforeAnythingElse) {
  ClusterCondition cluster = Running();
  for (int rank : {0, 2, 3}) Wait(cluster, rank, 1);
  cluster.ranks[1].still = cluster.ranks[1].heard = absl::Seconds(8);
  const Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_EQ(diagnosis.kind, Kind::kSilent);
  EXPECT_EQ(diagnosis.rank, 1);
  EXPECT_THAT(diagnosis.verdict, HasSubstr("not heard of for 8s"));
}

TEST(DiagnosisTest, AStepThatGoesOnIsWellHoweverLongItTakes) {
  ClusterCondition cluster = Running();
  cluster.step_age = absl::Minutes(9);
  EXPECT_EQ(Diagnose(cluster, kPatience).kind, Kind::kWell);
  cluster.step.reset();
  for (RankCondition& rank : cluster.ranks) rank.owes = false;
  const Diagnosis idle = Diagnose(cluster, kPatience);
  EXPECT_EQ(idle.kind, Kind::kWell);
  EXPECT_THAT(idle.verdict, HasSubstr("idle"));
}

TEST(DiagnosisTest, MissingWorkersAreCountedAndTheReasonIsKept) {
  ClusterCondition cluster = Running();
  cluster.step.reset();
  cluster.ranks[1] = RankCondition();
  cluster.health = absl::UnavailableError("worker 1: its process was killed");
  Diagnosis diagnosis = Diagnose(cluster, kPatience);
  EXPECT_EQ(diagnosis.kind, Kind::kForming);
  EXPECT_THAT(diagnosis.verdict, AllOf(HasSubstr("1 of 4 workers are missing"),
                                       HasSubstr("was killed")));
  cluster.ranks[1].state = RankCondition::State::kLoading;
  diagnosis = Diagnose(cluster, kPatience);
  EXPECT_THAT(diagnosis.verdict, Not(HasSubstr("missing")));
  EXPECT_THAT(diagnosis.verdict, HasSubstr("1 of 4 workers load"));
}

}  // namespace
}  // namespace facet
