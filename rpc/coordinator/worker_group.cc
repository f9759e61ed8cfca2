#include "rpc/coordinator/worker_group.h"

#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/build_id.h"
#include "rpc/coordinator/places.h"
#include "runtime/comm/random_name.h"

namespace facet {

absl::StatusOr<std::unique_ptr<WorkerGroup>> WorkerGroup::Start(
    const WorkerGroupOptions& options) {
  std::unique_ptr<WorkerGroup> group(new WorkerGroup(options));
  FACET_RETURN_IF_ERROR(group->Form(options));
  return group;
}

absl::Status WorkerGroup::Form(const WorkerGroupOptions& options) {
  MembershipOptions membership;
  FACET_ASSIGN_OR_RETURN(membership.build_id, BuildId());
  for (int i = 0; i < options.world_size; ++i) {
    membership.tokens.push_back(options.remote ? options.join_token
                                               : RandomName());
  }
  membership.numerics = options.common.numerics;
  membership.exits_are_reported = !options.remote;
  membership.heartbeat_interval = options.heartbeat_interval;
  membership.heartbeat_timeout = options.heartbeat_timeout;
  membership.load_progress = options.load_progress;
  const std::vector<std::string> tokens = membership.tokens;
  members_ = std::make_unique<Membership>(std::move(membership));

  FACET_ASSIGN_OR_RETURN(
      server_, ControlServer::Start(options.control_address, members_.get()));
  ticker_ = std::thread([this, interval = options.heartbeat_interval / 4] {
    TickUntilStopped(interval);
  });
  if (!options.remote) FACET_RETURN_IF_ERROR(StartChildren(options, tokens));

  FACET_RETURN_IF_ERROR(
      members_->WaitUntilJoined(absl::Now() + options.join_timeout));
  WorkerAssignment common = options.common;
  common.world_key = RandomName();
  common.epoch = 1;
  FACET_ASSIGN_OR_RETURN(const std::vector<WorkerAssignment> places,
                         AssignPlaces(members_->registrations(), common,
                                      options.threads_per_worker));
  return members_->AssignAndWaitUntilReady(places);
}

absl::Status WorkerGroup::StartChildren(
    const WorkerGroupOptions& options, const std::vector<std::string>& tokens) {
  for (int i = 0; i < options.world_size; ++i) {
    ChildProcessOptions child;
    child.executable = options.executable;
    child.argv = options.worker_argv;
    child.argv.push_back(absl::StrCat("--coordinator=", server_->address()));
    if (options.device != "cpu") {
      child.argv.push_back(
          absl::StrCat("--device=", options.device,
                       options.device == "cuda" ? absl::StrCat(":", i) : ""));
    }
    // Other users can read a command line, but not an environment.
    // FACET_CHILD: what goes wrong is told here, once, and not by the child.
    child.environment = {{"FACET_JOIN_TOKEN", tokens[i]}, {"FACET_CHILD", "1"}};
    child.on_exit = [this, i](const std::string& how) {
      members_->OnExit(i, how);
    };
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> started,
                           ChildProcess::Start(std::move(child)));
    children_.push_back(std::move(started));
  }
  return absl::OkStatus();
}

void WorkerGroup::TickUntilStopped(absl::Duration interval) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    members_->Tick();
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(interval),
                      [this] { return stopping_; });
  }
}

absl::Status WorkerGroup::Shutdown() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return absl::OkStatus();
    stopping_ = true;
    changed_.notify_all();
  }
  if (ticker_.joinable()) ticker_.join();
  if (members_ != nullptr) {
    members_->Shutdown("the coordinator shuts down", leave_grace_);
  }
  absl::Status status;
  const absl::Time deadline = absl::Now() + exit_grace_;
  for (const std::unique_ptr<ChildProcess>& child : children_) {
    if (child->WaitUntilGone(deadline)) continue;
    child->Kill(SIGKILL);
    status = absl::DeadlineExceededError(absl::StrCat(
        "the worker with pid ", child->pid(), " did not leave; it was killed"));
  }
  children_.clear();
  if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
  return status;
}

WorkerGroup::~WorkerGroup() { Shutdown().IgnoreError(); }

}  // namespace facet
