// What a worker is made of, so that tests can put fakes in their place.
#ifndef FACET_RPC_WORKER_WORKER_PARTS_H_
#define FACET_RPC_WORKER_WORKER_PARTS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/executor/rank_runner.h"
#include "runtime/plan/numerics.h"

namespace facet {

// A data plane that peers can reach and that is not connected yet.
struct CommPort {
  CommEndpoint endpoint;
  // Called at most once.
  std::function<absl::StatusOr<std::unique_ptr<Communicator>>(
      const HostCommOptions& options)>
      connect;
};

struct WorkerParts {
  // The instruction set in use, or why there is none.
  std::function<absl::StatusOr<std::string>()> isa;
  std::string device = "cpu";  // or "cuda"
  std::function<std::string(const NumericsOptions& numerics)> numerics_mode;
  std::function<absl::StatusOr<CommPort>(const std::string& host)> listen;
  // `before`: the rank this worker had in the world before, if any, whose
  // weights stay where they are as far as they serve again.
  std::function<absl::StatusOr<std::unique_ptr<RankRunner>>(
      const RankOptions& options, std::unique_ptr<Communicator> world,
      const LoadProgress& progress, std::unique_ptr<RankRunner> before)>
      load;
};

}  // namespace facet

#endif  // FACET_RPC_WORKER_WORKER_PARTS_H_
