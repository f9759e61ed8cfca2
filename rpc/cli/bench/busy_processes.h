// Other people's work: processes that want a CPU each, all the time.
#ifndef FACET_RPC_CLI_BENCH_BUSY_PROCESSES_H_
#define FACET_RPC_CLI_BENCH_BUSY_PROCESSES_H_

#include <sys/types.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"

namespace facet {

// They count and touch no memory, with the priority of this process, from
// Start() on until this is destroyed or the process ends.
class BusyProcesses {
 public:
  // Errors: RESOURCE_EXHAUSTED when the system has no process left.
  static absl::StatusOr<std::unique_ptr<BusyProcesses>> Start(int count);
  ~BusyProcesses();

  const std::vector<pid_t>& pids() const { return pids_; }

 private:
  BusyProcesses() = default;

  std::vector<pid_t> pids_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_BUSY_PROCESSES_H_
