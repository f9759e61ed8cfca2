// A rank that waits for a token that never comes can be told to stop.
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/random_name.h"
#include "runtime/executor/rank_runner.h"
#include "runtime/executor/rank_thread.h"
#include "tests/invariance/tiny_models.h"

namespace facet {
namespace {

std::unique_ptr<RankRunner> LoadRank(const HostCommOptions& world, int rank,
                                     CommListener* listener) {
  HostCommOptions comm = world;
  comm.rank = rank;
  auto communicator = MakeHostCommunicator(comm, listener);
  if (!communicator.ok()) return nullptr;
  RankOptions options;
  options.model_directory = TinyDirectory("dense-tiny");
  options.parallelism.pp_size = 2;
  options.rank = rank;
  options.pools = {32, 8, 8};
  auto runner =
      RankRunner::Load(options, *std::move(communicator), LoadProgress());
  return runner.ok() ? *std::move(runner) : nullptr;
}

TEST(AbortTest, UnblocksAStageThatWaitsForADrawnToken) {
  HostCommOptions world;
  world.world_key = RandomName();
  std::vector<std::unique_ptr<CommListener>> listeners;
  for (int rank = 0; rank < 2; ++rank) {
    auto listener = CommListener::Create("127.0.0.1");
    ASSERT_TRUE(listener.ok()) << listener.status();
    world.endpoints.push_back({LocalHostId(), (*listener)->address()});
    listeners.push_back(*std::move(listener));
  }
  std::unique_ptr<RankRunner> runners[2];
  std::thread other(
      [&] { runners[1] = LoadRank(world, 1, listeners[1].get()); });
  runners[0] = LoadRank(world, 0, listeners[0].get());
  other.join();
  ASSERT_NE(runners[0], nullptr);
  ASSERT_NE(runners[1], nullptr);

  RankThread first_stage(std::move(runners[0]));
  StepPlan plan;
  plan.step = 1;
  plan.slices.resize(1);
  plan.slices[0].sequence = {1};
  plan.slices[0].tokens = {2, 10, 30};
  plan.slices[0].begins.emplace().prompt_tokens = 3;
  plan.slices[0].new_sliding_pages = {{0}};
  plan.slices[0].new_global_pages = {{0}};
  plan.slices[0].sample = true;
  first_stage.Start(std::make_shared<StepPlan>(plan));
  // The last stage never runs, so nobody draws.
  const auto begun = first_stage.Finish();
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_TRUE(begun->tokens.empty());

  StepPlan next;
  next.step = 2;
  next.slices.resize(1);
  next.slices[0].sequence = {1};
  next.slices[0].start = 3;
  next.slices[0].tokens = {kSampledToken};
  first_stage.Start(std::make_shared<StepPlan>(next));
  absl::SleepFor(absl::Milliseconds(20));  // most likely it waits by now
  const absl::Time before = absl::Now();
  first_stage.Abort(absl::CancelledError("enough"));
  EXPECT_EQ(first_stage.Finish().status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
}

}  // namespace
}  // namespace facet
