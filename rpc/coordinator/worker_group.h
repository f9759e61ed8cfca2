// The worker processes of one world, started here or waited for, from the
// control server to the last child that is reaped. Knows no model: what to load
// is in the assignment it passes on.
#ifndef FACET_RPC_COORDINATOR_WORKER_GROUP_H_
#define FACET_RPC_COORDINATOR_WORKER_GROUP_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/control/control_server.h"
#include "rpc/control/membership.h"
#include "rpc/convert/control_messages.h"
#include "rpc/coordinator/child_process.h"

namespace facet {

struct WorkerGroupOptions {
  int world_size = 1;
  // True: wait for workers that others start. False: start them here.
  bool remote = false;
  // What remote workers must present; empty: nothing. Children get a secret of
  // their own each.
  std::string join_token;
  std::string control_address = "127.0.0.1:0";
  std::string device = "cpu";  // of children; "cuda": child i on GPU i
  // How a child becomes a worker; "--coordinator=ADDRESS" is appended, and
  // "--device=…" where it is not the processors.
  std::string executable = "/proc/self/exe";
  std::vector<std::string> worker_argv = {"facet", "worker"};
  // What all workers are told; rank, endpoints, world_key, threads and cpus are
  // filled in per worker.
  WorkerAssignment common;
  int threads_per_worker = 0;  // 0: CPUs divided by the workers on them
  absl::Duration join_timeout = absl::Minutes(5);
  absl::Duration heartbeat_interval = absl::Seconds(1);
  absl::Duration heartbeat_timeout = absl::Seconds(15);
  // For workers to finish their step in Shutdown(), then for children to exit.
  absl::Duration leave_grace = absl::Seconds(10);
  absl::Duration exit_grace = absl::Seconds(5);
  std::function<void(int64_t done, int64_t total)> load_progress;
};

class WorkerGroup {
 public:
  // Returns once every worker is ready.
  //
  // Errors: those of ControlServer::Start(), BuildId() and
  // ChildProcess::Start(), of Membership's waits and of AssignPlaces().
  static absl::StatusOr<std::unique_ptr<WorkerGroup>> Start(
      const WorkerGroupOptions& options);
  ~WorkerGroup();

  Membership& members() { return *members_; }
  const std::string& control_address() const { return server_->address(); }

  // Lets workers finish their step and leave, then kills children that stayed.
  // Bounded in time; once is enough.
  absl::Status Shutdown();

 private:
  explicit WorkerGroup(const WorkerGroupOptions& options)
      : leave_grace_(options.leave_grace), exit_grace_(options.exit_grace) {}
  absl::Status Form(const WorkerGroupOptions& options);
  absl::Status StartChildren(const WorkerGroupOptions& options,
                             const std::vector<std::string>& tokens);
  void TickUntilStopped(absl::Duration interval);

  const absl::Duration leave_grace_;
  const absl::Duration exit_grace_;
  std::unique_ptr<Membership> members_;
  std::unique_ptr<ControlServer> server_;
  std::vector<std::unique_ptr<ChildProcess>> children_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread ticker_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_WORKER_GROUP_H_
