#include "rpc/cli/doctor/doctor_report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Rank 0 waits for rank 1, which stands still.
ClusterCondition Stalled() {
  ClusterCondition cluster;
  cluster.epoch = 4;
  cluster.spares = 1;
  cluster.step = 9;
  cluster.step_age = absl::Seconds(12);
  for (int i : {0, 1}) {
    RankCondition& rank = cluster.ranks.emplace_back();
    rank.rank = i;
    rank.host = "alp\033[2Jha";
    rank.state = RankCondition::State::kReady;
    rank.owes = true;
    rank.heard = absl::Milliseconds(300);
    rank.still = absl::Seconds(11);
    rank.activity.running = true;
    rank.activity.step = 9;
    rank.activity.layer = 2;
    rank.activity.moves = 77;
    rank.activity.operation = i == 0 ? "#3 all-reduce 64 B" : "computing";
    rank.activity.calls = "#2 send 8 B to rank 1 finished; #3 all-reduce 64 B";
  }
  cluster.ranks[0].activity.waits_for = 1;
  cluster.ranks[0].activity.waits = absl::Seconds(11);
  return cluster;
}

std::string Show(const ClusterCondition& cluster, bool calls) {
  const auto report = ParseDoctorJson(DoctorJson(cluster));
  EXPECT_TRUE(report.ok()) << report.status();
  return DoctorScreen(*report, calls);
}

TEST(DoctorReportTest, EachRankHasALineAndTheVerdictNamesTheStalledOne) {
  const std::string text = Show(Stalled(), /*calls=*/false);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("#3 all-reduce 64 B"), HasSubstr("rank 1     11.0s"),
            HasSubstr("spare workers: 1"), HasSubstr("stalled: rank 1"),
            HasSubstr("what to do: it is replaced")));
  EXPECT_THAT(text, Not(HasSubstr("finished")));
  EXPECT_TRUE((*ParseDoctorJson(DoctorJson(Stalled())))["wrong"].get<bool>());
}

TEST(DoctorReportTest, CallsAreAskedFor) {
  EXPECT_THAT(Show(Stalled(), /*calls=*/true),
              AllOf(HasSubstr("last calls of rank 1"),
                    HasSubstr("  #2 send 8 B to rank 1 finished\n")));
}

TEST(DoctorReportTest, NoByteOfAWorkerReachesTheTerminalAsACommand) {
  EXPECT_THAT(Show(Stalled(), /*calls=*/true), Not(HasSubstr("\033")));
}

TEST(DoctorReportTest, EmptyPlacesAndIdleRanksAreShown) {
  ClusterCondition cluster = Stalled();
  cluster.step.reset();
  cluster.ranks[0].activity.running = false;
  cluster.ranks[1] = RankCondition();
  const std::string text = Show(cluster, /*calls=*/true);
  EXPECT_THAT(text, AllOf(HasSubstr("idle"), HasSubstr("absent"),
                          HasSubstr("1 of 2 workers are missing")));
}

TEST(DoctorReportTest, WhatIsNoReportIsRefused) {
  for (const char* text :
       {"", "{}", "[1]", "ok", R"({"wrong": true, "ranks": [1]})",
        R"({"wrong":true,"kind":"a","verdict":"b","advice":"c","epoch":1,)"
        R"("spares":0,"ranks":[{"state":"ready","since_ms":"x"}]})"}) {
    EXPECT_FALSE(ParseDoctorJson(text).ok()) << text;
  }
}

}  // namespace
}  // namespace facet
