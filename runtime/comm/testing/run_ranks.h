// Runs a whole world inside one test: each rank is a thread.
//
//   RunRanks(CommKind::kShm, /*world_size=*/4, [](Communicator& comm) {
//     std::vector<float> value(1001, comm.rank());
//     ASSERT_TRUE(comm.AllReduceSum(absl::MakeSpan(value)).ok());
//   });
#ifndef FACET_RUNTIME_COMM_TESTING_RUN_RANKS_H_
#define FACET_RUNTIME_COMM_TESTING_RUN_RANKS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/host_communicator.h"

namespace facet {

enum class CommKind {
  kInProcess,  // world_size is 1
  kShm,        // all ranks on one host
  kTcp,        // each rank on a host of its own
  kMixed,      // the first half of the ranks on one host, the rest on another
};

inline constexpr CommKind kHostCommKinds[] = {CommKind::kShm, CommKind::kTcp,
                                              CommKind::kMixed};

// "Shm", for names of parameterised tests.
std::string CommKindName(CommKind kind);

// The options of each rank and the listeners that they name.
struct TestWorld {
  std::vector<HostCommOptions> options;
  std::vector<std::unique_ptr<CommListener>> listeners;
};
TestWorld MakeTestWorld(CommKind kind, int world_size,
                        absl::Duration timeout = absl::Seconds(60));

// Forms a world and calls `body` once for each rank, all at the same time.
// Returns when all have returned; a world that does not form fails the test.
void RunRanks(CommKind kind, int world_size,
              const std::function<void(Communicator&)>& body,
              absl::Duration timeout = absl::Seconds(60));

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_TESTING_RUN_RANKS_H_
