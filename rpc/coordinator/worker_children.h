// The workers that a coordinator starts itself: a process for each place, and
// another one when it ends.
#ifndef FACET_RPC_COORDINATOR_WORKER_CHILDREN_H_
#define FACET_RPC_COORDINATOR_WORKER_CHILDREN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/coordinator/child_process.h"

namespace facet {

struct WorkerChildrenOptions {
  // How a child becomes a worker; "--coordinator=ADDRESS" is appended, and
  // "--device=…" where it is not the processors.
  std::string executable = "/proc/self/exe";
  std::vector<std::string> argv = {"facet", "worker"};
  std::string coordinator;          // ADDRESS
  std::string device = "cpu";       // "cuda": child i on GPU i
  std::vector<std::string> tokens;  // what child i presents
  // The process `pid` of child i has ended, as `how` says. From any thread.
  std::function<void(int i, int64_t pid, const std::string& how)> on_exit;
};

// One thread calls.
class WorkerChildren {
 public:
  // Errors: those of ChildProcess::Start().
  static absl::StatusOr<std::unique_ptr<WorkerChildren>> Start(
      WorkerChildrenOptions options);

  int count() const { return static_cast<int>(children_.size()); }
  int64_t pid(int i) const;
  // When its process was started.
  absl::Time started(int i) const { return children_[i].started; }

  void Kill(int i, int signal);

  // Starts those anew that have ended. One that ends soon after its start again
  // and again is given more and more time in between, five seconds at most.
  void RestartEnded();

  // Waits until all have ended, asks those to leave that have not after half
  // of `grace`, and kills them after all of it.
  //
  // Errors: DEADLINE_EXCEEDED naming one that was killed.
  absl::Status Stop(absl::Duration grace);

 private:
  struct Child {
    std::unique_ptr<ChildProcess> process;  // null: it could not be started
    absl::Time started;
    absl::Time start_again;  // not before
    int short_lives = 0;     // in a row
    bool ended = false;      // RestartEnded() has seen it
  };

  explicit WorkerChildren(WorkerChildrenOptions options)
      : options_(std::move(options)) {}
  absl::Status StartOne(int i);

  const WorkerChildrenOptions options_;
  std::vector<Child> children_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_WORKER_CHILDREN_H_
