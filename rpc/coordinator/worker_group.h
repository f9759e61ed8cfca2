// The workers of a cluster, started here or waited for, from the control server
// to the last child that is reaped. Forms a world of them and, when one is
// lost, the next: of those that are left, those that were started anew and
// spares. Knows no model: what to load is in the assignment it passes on.
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
#include "rpc/control/condition_slot.h"
#include "rpc/control/control_server.h"
#include "rpc/control/trust.h"
#include "rpc/control/worker_gate.h"
#include "rpc/control/world_source.h"
#include "rpc/convert/control_messages.h"
#include "rpc/coordinator/worker_children.h"

namespace facet {

struct WorkerGroupOptions {
  int world_size = 1;
  // True: wait for workers that others start. False: start them here.
  bool remote = false;
  // What remote workers must present; empty: nothing. Children get a secret of
  // their own each.
  std::string join_token;
  std::string control_address = "127.0.0.1:0";
  TrustFiles trust;            // of remote workers; children need none
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
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  absl::Duration stall_timeout = absl::Minutes(2);  // see MembershipOptions
  absl::Duration load_timeout = absl::Minutes(10);  // see MembershipOptions
  // Of remote workers: after so long with too few, those that are here form a
  // world of fewer, and a larger one when more come.
  absl::Duration shrink_after = absl::InfiniteDuration();
  // How exactly these remote workers, fewer or more than world_size, would
  // divide the model. Errors: what keeps them from it. Null: they are
  // world_size at all times.
  std::function<absl::StatusOr<ParallelismOptions>(
      const std::vector<WorkerRegistration>& workers)>
      plan_for;
  // False: the first world is the only one.
  bool recover = true;
  // For workers to finish their step in Shutdown(), then for children to exit.
  absl::Duration leave_grace = absl::Seconds(10);
  absl::Duration exit_grace = absl::Seconds(5);
  std::function<void(int64_t done, int64_t total)> load_progress;
  // What befalls the cluster, a line each, for a log. From a thread of the
  // group's.
  std::function<void(const std::string& line)> report;
  // Is told of the first world while it forms; null: nobody asks.
  ConditionSlot* forming = nullptr;
  // A world that ran was lost, and it took so long to be seen. From the same.
  std::function<void(absl::Duration detection)> on_loss;
};

class WorkerGroup : public WorldSource {
 public:
  // Returns once every worker is ready.
  //
  // Errors: those of ControlServer::Start(), BuildId() and
  // ChildProcess::Start(), of Membership's waits and of AssignPlaces().
  static absl::StatusOr<std::unique_ptr<WorkerGroup>> Start(
      const WorkerGroupOptions& options);
  ~WorkerGroup() override;

  absl::StatusOr<World> world() const override;

  // Those of the newest world, which may still be forming.
  std::shared_ptr<Membership> members() const;
  const std::string& control_address() const { return server_->address(); }
  int spares() const { return gate_.spares(); }
  // Of the newest world. From any thread, also while steps hang.
  ClusterCondition condition() const;

  // Lets workers finish their step and leave, then kills children that stayed.
  // Bounded in time; once is enough.
  absl::Status Shutdown();

 private:
  explicit WorkerGroup(const WorkerGroupOptions& options);
  absl::Status FormFirst();
  absl::Status StartChildren();
  void Tick();

  // The supervising thread: one world after the other.
  void Supervise();
  // Forms the world of `epoch` after `before`, which is over.
  absl::Status FormNext(uint64_t epoch, const Membership& before);
  // Waits until the newest world has all its members.
  absl::Status Gather(Membership& members, int expected_back);
  absl::Status GivePlaces(Membership& members, uint64_t epoch);
  // Children that do not come to a world that forms since `since`.
  void KillTheOverdue(const Membership& members, absl::Time since);
  // Of size_ places.
  std::shared_ptr<Membership> Open(uint64_t epoch);
  // The most of these workers, in their order, that plan_for() has a plan for:
  // up to world_size, and one more for each that asked for it.
  int MostThatFit(std::vector<WorkerRegistration> workers) const;
  // Ends a world when more have come than it has places.
  void GrowIfMoreCame();
  // How long the newest world waits for its last members.
  absl::Duration patience(int joined) const;
  void OnExit(int child, int64_t pid, const std::string& how);
  // False once the group is being shut down.
  bool SleepFor(absl::Duration duration);
  bool stopping() const;
  void Report(const std::string& line) const;

  const WorkerGroupOptions options_;
  MembershipOptions membership_;
  WorkerGate gate_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<WorkerChildren> children_;  // null: remote workers
  // Children that were killed before they joined: the last one's process, and
  // how many in a row. By the supervising thread.
  struct Overdue {
    int64_t pid = -1;
    int times = 0;
  };
  std::vector<Overdue> overdue_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t epoch_ = 0;  // of members_
  std::shared_ptr<Membership> members_;
  absl::Status ready_;  // of members_: OK once it can run steps
  int size_ = 0;        // of the newest world
  bool grows_ = false;  // it gives way to a larger one
  bool whole_ = false;  // another size was tried and has too little memory
  absl::Time more_since_ = absl::InfiniteFuture();  // there are more
  bool stopping_ = false;
  std::thread ticker_;
  std::thread supervisor_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_WORKER_GROUP_H_
