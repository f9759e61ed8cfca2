#include "rpc/control/worker_gate.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/control/testing/fake_link.h"

namespace facet {
namespace {

class WorkerGateTest : public testing::Test {
 protected:
  std::shared_ptr<Membership> World(int size) {
    MembershipOptions options;
    options.tokens.assign(size, "t");
    options.build_id = "b1";
    options.clock = [this] { return now_; };
    return std::make_shared<Membership>(std::move(options));
  }

  static WorkerRegistration Worker(const std::string& token = "t",
                                   const std::string& build = "b1") {
    WorkerRegistration worker;
    worker.join_token = token;
    worker.build_id = build;
    worker.modes = {{NumericsOptions(), "f32"}};
    worker.hostname = "alpha";
    return worker;
  }

  WorkerGateOptions Options() {
    WorkerGateOptions options;
    options.clock = [this] { return now_; };
    return options;
  }

  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(WorkerGateTest, WhoFindsNoPlaceWaitsAsASpareForTheNextWorld) {
  WorkerGate gate(Options());
  const auto first = World(1);
  gate.Open(first);
  const auto one = std::make_shared<FakeLink>();
  const auto two = std::make_shared<FakeLink>();
  ASSERT_TRUE(gate.OnRegister(Worker(), one).ok());
  ASSERT_TRUE(gate.OnRegister(Worker(), two).ok());
  EXPECT_EQ(first->present(), 1);
  EXPECT_EQ(gate.spares(), 1);

  const auto second = World(1);
  gate.Open(second);
  EXPECT_EQ(gate.spares(), 1);
  gate.AdmitSpares();
  EXPECT_EQ(gate.spares(), 0);
  EXPECT_EQ(second->present(), 1);
}

TEST_F(WorkerGateTest, StreamsOfAnEarlierWorldReachThatWorldAlone) {
  WorkerGate gate(Options());
  const auto first = World(1);
  gate.Open(first);
  const int guest = *gate.OnRegister(Worker(), std::make_shared<FakeLink>());
  const auto second = World(1);
  gate.Open(second);
  gate.OnMessage(guest, WorkerFailed{absl::DataLossError("a page went bad")});
  EXPECT_FALSE(first->health().ok());
  EXPECT_TRUE(second->health().ok());
  gate.OnGone(guest, absl::OkStatus());
  EXPECT_EQ(first->present(), 0);
  EXPECT_TRUE(second->health().ok());
  gate.OnMessage(guest, Heartbeat{});  // and nothing breaks
}

TEST_F(WorkerGateTest, ALostWorldsWorkersMayComeBackBeforeTheNextIsOpen) {
  WorkerGate gate(Options());
  const auto first = World(2);
  gate.Open(first);
  first->Fail(absl::UnavailableError("worker 1 is gone"));
  ASSERT_TRUE(gate.OnRegister(Worker(), std::make_shared<FakeLink>()).ok());
  EXPECT_EQ(gate.spares(), 1);
}

TEST_F(WorkerGateTest, StrangersAreRefusedAsSparesToo) {
  WorkerGate gate(Options());
  const auto world = World(1);
  gate.Open(world);
  const auto link = std::make_shared<FakeLink>();
  ASSERT_TRUE(gate.OnRegister(Worker(), link).ok());
  EXPECT_EQ(gate.OnRegister(Worker("other"), link).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(gate.OnRegister(Worker("t", "b2"), link).status().code(),
            absl::StatusCode::kFailedPrecondition);
  world->Fail(absl::UnavailableError("worker 0 is gone"));
  EXPECT_EQ(gate.OnRegister(Worker("other"), link).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(gate.spares(), 0);
}

TEST_F(WorkerGateTest, SparesAreBounded) {
  WorkerGateOptions options = Options();
  options.most_spares = 2;
  WorkerGate gate(options);
  gate.Open(World(1));
  const auto link = std::make_shared<FakeLink>();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(gate.OnRegister(Worker(), link).ok());
  EXPECT_EQ(gate.OnRegister(Worker(), link).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(WorkerGateTest, SparesHearTheCoordinatorAndSilentOnesAreLetGo) {
  WorkerGate gate(Options());
  gate.Open(World(1));
  ASSERT_TRUE(gate.OnRegister(Worker(), std::make_shared<FakeLink>()).ok());
  const auto alive = std::make_shared<FakeLink>();
  const auto silent = std::make_shared<FakeLink>();
  const int guest = *gate.OnRegister(Worker(), alive);
  ASSERT_TRUE(gate.OnRegister(Worker(), silent).ok());
  for (int i = 0; i < 12; ++i) {
    now_ += absl::Seconds(1);
    gate.OnMessage(guest, Heartbeat{});
    gate.Tick();
  }
  EXPECT_EQ(alive->Count<Heartbeat>(), 12);
  EXPECT_FALSE(alive->cancelled());
  EXPECT_TRUE(silent->cancelled());
}

TEST_F(WorkerGateTest, ASpareThatSpeaksOutOfTurnIsShownOut) {
  WorkerGate gate(Options());
  gate.Open(World(1));
  ASSERT_TRUE(gate.OnRegister(Worker(), std::make_shared<FakeLink>()).ok());
  const auto link = std::make_shared<FakeLink>();
  const int guest = *gate.OnRegister(Worker(), link);
  link->Close(absl::UnknownError("not yet"));
  gate.OnMessage(guest, WorkerReady{});
  EXPECT_TRUE(link->closed().ok());
}

TEST_F(WorkerGateTest, ACloseTellsTheSparesAndLetsNobodyIn) {
  WorkerGate gate(Options());
  gate.Open(World(1));
  const auto link = std::make_shared<FakeLink>();
  ASSERT_TRUE(gate.OnRegister(Worker(), std::make_shared<FakeLink>()).ok());
  ASSERT_TRUE(gate.OnRegister(Worker(), link).ok());
  gate.Close("done");
  EXPECT_EQ(link->Count<WorkerShutdown>(), 1);
  EXPECT_EQ(gate.OnRegister(Worker(), link).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace facet
