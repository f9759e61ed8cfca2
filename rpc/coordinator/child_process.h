// A child process that never outlives this one and whose end is always heard
// of.
#ifndef FACET_RPC_COORDINATOR_CHILD_PROCESS_H_
#define FACET_RPC_COORDINATOR_CHILD_PROCESS_H_

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace facet {

struct ChildProcessOptions {
  std::string executable;
  std::vector<std::string> argv;  // argv[0] is the name it goes by
  // Set on top of this process's environment.
  std::vector<std::pair<std::string, std::string>> environment;
  // Told once how it ended: "exited with code 1", "was killed by signal 9
  // (Killed)". From a thread of its own.
  std::function<void(const std::string& how)> on_exit;
};

// The child gets no input, writes to this process's stderr, and leads a process
// group of its own, so that Ctrl-C reaches this process alone, which then ends
// its children in order. The kernel kills it when this process dies.
class ChildProcess {
 public:
  // Errors: INTERNAL when the process cannot be made or the file not be run.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      ChildProcessOptions options);

  // Kills it if it is still there. on_exit has returned afterwards.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  void Kill(int signal);
  // True when it has ended by `deadline`.
  bool WaitUntilGone(absl::Time deadline);

 private:
  ChildProcess() = default;
  void StartAndWait(ChildProcessOptions options);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;  // or failed to, as start_status_ says
  bool gone_ = false;
  absl::Status start_status_;
  pid_t pid_ = -1;
  std::thread thread_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_CHILD_PROCESS_H_
