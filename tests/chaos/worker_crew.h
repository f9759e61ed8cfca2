// `facet worker` processes on machines of their own, started again when they
// end, as whoever runs a cluster would.
#ifndef FACET_TESTS_CHAOS_WORKER_CREW_H_
#define FACET_TESTS_CHAOS_WORKER_CREW_H_

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/coordinator/child_process.h"
#include "tests/chaos/machines.h"

namespace facet {

class WorkerCrew {
 public:
  // Machines 1 and up get a worker each. `machines` outlives the crew.
  static absl::StatusOr<std::unique_ptr<WorkerCrew>> Start(
      const Machines* machines, const std::string& facet,
      const std::string& coordinator);
  ~WorkerCrew();

  // The machine of a worker; -1: it has been replaced.
  int MachineOf(pid_t pid) const;

 private:
  WorkerCrew() = default;
  absl::Status StartOn(int machine);
  void Watch();

  const Machines* machines_ = nullptr;
  std::string facet_;
  std::string coordinator_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<ChildProcess>> workers_;  // by machine
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace facet

#endif  // FACET_TESTS_CHAOS_WORKER_CREW_H_
