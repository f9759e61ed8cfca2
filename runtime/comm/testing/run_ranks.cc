#include "runtime/comm/testing/run_ranks.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "kernels/base/check.h"
#include "runtime/comm/random_name.h"

namespace facet {

std::string CommKindName(CommKind kind) {
  switch (kind) {
    case CommKind::kInProcess:
      return "InProcess";
    case CommKind::kShm:
      return "Shm";
    case CommKind::kTcp:
      return "Tcp";
    case CommKind::kMixed:
      return "Mixed";
  }
  return "Unknown";
}

TestWorld MakeTestWorld(CommKind kind, int world_size, absl::Duration timeout) {
  TestWorld world;
  HostCommOptions shared;
  shared.world_key = RandomName();
  shared.timeout = timeout;
  shared.force_tcp = kind == CommKind::kTcp;
  for (int rank = 0; rank < world_size; ++rank) {
    auto listener = CommListener::Create("127.0.0.1");
    FACET_CHECK(listener.ok());
    world.listeners.push_back(*std::move(listener));
    const bool second_host =
        kind == CommKind::kMixed && rank >= (world_size + 1) / 2;
    shared.endpoints.push_back(
        {second_host ? "host-b" : "host-a", world.listeners.back()->address()});
  }
  world.options.assign(world_size, shared);
  for (int rank = 0; rank < world_size; ++rank) {
    world.options[rank].rank = rank;
  }
  return world;
}

void RunRanks(CommKind kind, int world_size,
              const std::function<void(Communicator&)>& body,
              absl::Duration timeout) {
  if (kind == CommKind::kInProcess) {
    FACET_CHECK(world_size == 1);
    body(*MakeInProcessCommunicator());
    return;
  }
  TestWorld world = MakeTestWorld(kind, world_size, timeout);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      auto comm = MakeHostCommunicator(world.options[rank],
                                       world.listeners[rank].get());
      if (!comm.ok()) {
        ADD_FAILURE() << "rank " << rank << ": " << comm.status();
        return;
      }
      body(**comm);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace facet
