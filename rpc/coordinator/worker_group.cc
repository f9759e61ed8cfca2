#include "rpc/coordinator/worker_group.h"

#include <algorithm>
#include <csignal>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/build_id.h"
#include "rpc/coordinator/places.h"
#include "runtime/comm/random_name.h"

namespace facet {
namespace {

// How long places are kept for the workers of the world before, which have the
// weights, until spares get them.
constexpr absl::Duration kReturnGrace = absl::Seconds(1);
// How long more workers have been there before a world gives way: those that
// come together are taken together.
constexpr absl::Duration kGrowPatience = absl::Seconds(2);
// A child that was started has joined long before: it has nothing to load until
// then. One that hangs on its way must not take as long as streams wait; where
// the machine is that slow, the next one is given twice the time.
constexpr absl::Duration kStartPatience = absl::Seconds(10);
constexpr int kMostDoublings = 4;
// Between looks at children and at what there is to do.
constexpr absl::Duration kGlance = absl::Milliseconds(10);

// Before the world after so many that were lost before they were ready.
absl::Duration Pause(int failures) {
  if (failures == 0) return absl::ZeroDuration();
  return std::min(absl::Milliseconds(50) * (1 << std::min(failures, 10)),
                  absl::Seconds(5));
}

WorkerGateOptions GateOptions(const WorkerGroupOptions& options) {
  WorkerGateOptions gate;
  gate.heartbeat_interval = options.heartbeat_interval;
  gate.heartbeat_timeout = options.heartbeat_timeout;
  return gate;
}

}  // namespace

WorkerGroup::WorkerGroup(const WorkerGroupOptions& options)
    : options_(options),
      gate_(GateOptions(options)),
      size_(options.world_size) {}

absl::StatusOr<std::unique_ptr<WorkerGroup>> WorkerGroup::Start(
    const WorkerGroupOptions& options) {
  std::unique_ptr<WorkerGroup> group(new WorkerGroup(options));
  const absl::Status formed = group->FormFirst();
  if (options.forming != nullptr) options.forming->Clear();
  FACET_RETURN_IF_ERROR(formed);
  return group;
}

absl::Status WorkerGroup::FormFirst() {
  FACET_ASSIGN_OR_RETURN(membership_.build_id, BuildId());
  for (int i = 0; i < options_.world_size; ++i) {
    membership_.tokens.push_back(options_.remote ? options_.join_token
                                                 : RandomName());
  }
  membership_.numerics = options_.common.numerics;
  membership_.exits_are_reported = !options_.remote;
  membership_.heartbeat_interval = options_.heartbeat_interval;
  membership_.heartbeat_timeout = options_.heartbeat_timeout;
  membership_.stall_timeout = options_.stall_timeout;
  membership_.load_timeout = options_.load_timeout;
  membership_.load_progress = options_.load_progress;

  const std::shared_ptr<Membership> members = Open(1);
  if (options_.forming != nullptr) {
    options_.forming->Put([this] { return condition(); });
  }
  FACET_ASSIGN_OR_RETURN(server_, ControlServer::Start(options_.control_address,
                                                       &gate_, options_.trust));
  ticker_ = std::thread([this] {
    while (SleepFor(options_.heartbeat_interval / 4)) Tick();
  });
  if (!options_.remote) FACET_RETURN_IF_ERROR(StartChildren());
  FACET_RETURN_IF_ERROR(
      members->WaitUntilJoined(absl::Now() + options_.join_timeout));
  FACET_RETURN_IF_ERROR(GivePlaces(*members, 1));
  membership_.load_progress = nullptr;  // told of the start alone
  supervisor_ = std::thread([this] { Supervise(); });
  return absl::OkStatus();
}

absl::Status WorkerGroup::StartChildren() {
  WorkerChildrenOptions children;
  children.executable = options_.executable;
  children.argv = options_.worker_argv;
  children.coordinator = server_->address();
  children.device = options_.device;
  children.tokens = membership_.tokens;
  children.on_exit = [this](int child, int64_t pid, const std::string& how) {
    OnExit(child, pid, how);
  };
  FACET_ASSIGN_OR_RETURN(children_, WorkerChildren::Start(std::move(children)));
  return absl::OkStatus();
}

std::shared_ptr<Membership> WorkerGroup::Open(uint64_t epoch) {
  std::shared_ptr<Membership> members;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (options_.remote) {
      membership_.tokens.assign(size_, options_.join_token);
    }
    members = std::make_shared<Membership>(membership_);
    grows_ = false;
    more_since_ = absl::InfiniteFuture();
    epoch_ = epoch;
    members_ = members;
    if (ready_.ok()) ready_ = absl::UnavailableError("the workers are joining");
    // Whoever shut the group down has seen the world before alone.
    if (stopping_) members->Shutdown("the coordinator shuts down", {});
  }
  gate_.Open(members);
  return members;
}

absl::Status WorkerGroup::GivePlaces(Membership& members, uint64_t epoch) {
  WorkerAssignment common = options_.common;
  common.most_steps = common.parallelism.pp_size + 2;
  if (members.world_size() != options_.world_size) {
    FACET_ASSIGN_OR_RETURN(common.parallelism,
                           options_.plan_for(members.registrations()));
  }
  common.world_key = RandomName();
  common.epoch = epoch;
  common.heartbeat_interval = options_.heartbeat_interval;
  common.heartbeat_timeout = options_.heartbeat_timeout;
  FACET_ASSIGN_OR_RETURN(const std::vector<WorkerAssignment> places,
                         AssignPlaces(members.registrations(), common,
                                      options_.threads_per_worker));
  FACET_RETURN_IF_ERROR(members.AssignAndWaitUntilReady(places));
  const std::lock_guard<std::mutex> lock(mutex_);
  ready_ = absl::OkStatus();
  return absl::OkStatus();
}

void WorkerGroup::Supervise() {
  int failures = 0;  // to form a world, in a row
  absl::Time lost_at;
  while (true) {
    const std::shared_ptr<Membership> before = members();
    before->WaitUntilOver();
    if (stopping()) return;
    const absl::Status why = before->health();
    if (failures == 0) lost_at = before->failed_at();
    bool grows = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      grows = grows_;
      ready_ = options_.recover ? absl::UnavailableError(why.message())
                                : absl::FailedPreconditionError(why.message());
    }
    Report(absl::StrCat("epoch ", epoch_,
                        grows ? " ends: " : " is lost: ", why.message()));
    if (failures == 0 && !grows && options_.on_loss) {
      options_.on_loss(before->detection());
    }
    if (!options_.recover || !SleepFor(Pause(failures))) return;
    const absl::Status formed = FormNext(epoch_ + 1, *before);
    // Streams that still hang on a dead connection.
    before->Shutdown("its world is over", absl::ZeroDuration());
    if (formed.ok()) {
      failures = 0;
      overdue_.clear();
      Report(absl::StrCat(
          "epoch ", epoch_, " is ready",
          members()->world_size() != options_.world_size
              ? absl::StrCat(" with ", members()->world_size(),
                             " workers instead of ", options_.world_size)
              : "",
          ", ",
          absl::FormatDuration(
              absl::Trunc(absl::Now() - lost_at, absl::Milliseconds(1))),
          " after the loss"));
    } else {
      ++failures;
      members()->Fail(formed);
      const std::lock_guard<std::mutex> lock(mutex_);
      if (absl::IsResourceExhausted(formed) && size_ != options_.world_size) {
        whole_ = true;
        size_ = options_.world_size;
      }
    }
  }
}

absl::Status WorkerGroup::FormNext(uint64_t epoch, const Membership& before) {
  const int lost = before.lost_member();
  // A child that is stopped or stuck is of no more use.
  if (children_ != nullptr && lost >= 0) children_->Kill(lost, SIGKILL);
  const std::shared_ptr<Membership> members = Open(epoch);
  // All but one come back, or all of a world that gives way to a larger one.
  FACET_RETURN_IF_ERROR(Gather(
      *members, std::min(members->world_size() - 1, before.world_size())));
  return GivePlaces(*members, epoch);
}

absl::Status WorkerGroup::Gather(Membership& members, int expected_back) {
  const absl::Time start = absl::Now();
  while (true) {
    if (stopping()) return absl::CancelledError("shut down");
    if (children_ != nullptr) {
      children_->RestartEnded();
      KillTheOverdue(members, start);
    }
    // Each child has a place of its own: no need to wait for others.
    if (children_ != nullptr || members.present() >= expected_back ||
        absl::Now() - start > kReturnGrace) {
      gate_.AdmitSpares();
    }
    const int joined =
        members.AwaitJoined(members.world_size(), absl::Now() + kGlance);
    FACET_RETURN_IF_ERROR(members.health());
    if (joined == members.world_size()) return absl::OkStatus();
    const absl::Duration waited = absl::Now() - start;
    if (waited < patience(joined) || gate_.spares() > 0) continue;
    std::vector<WorkerRegistration> here;
    for (WorkerRegistration& worker : members.registrations()) {
      if (worker.pid > 0) here.push_back(std::move(worker));
    }
    const int fewer = MostThatFit(std::move(here));
    if (fewer == 0) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    size_ = fewer;
    return absl::UnavailableError(absl::StrCat(
        joined, " of ", members.world_size(), " workers are here after ",
        absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(1))),
        ": the next epoch has a plan for ", fewer));
  }
}

absl::Duration WorkerGroup::patience(int joined) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (options_.plan_for == nullptr || children_ != nullptr || whole_) {
    return absl::InfiniteDuration();
  }
  // Without those that had asked for places of their own, it is whole.
  return joined >= options_.world_size ? kReturnGrace : options_.shrink_after;
}

int WorkerGroup::MostThatFit(std::vector<WorkerRegistration> workers) const {
  const size_t whole = options_.world_size;
  const size_t asked = std::count_if(
      workers.begin(), workers.end(),
      [](const WorkerRegistration& worker) { return worker.grow; });
  const size_t most =
      std::max(whole, std::min(whole, workers.size() - asked) + asked);
  if (workers.size() > most) workers.resize(most);
  while (!workers.empty() && workers.size() != whole &&
         !options_.plan_for(workers).ok()) {
    workers.pop_back();
  }
  return static_cast<int>(workers.size());
}

void WorkerGroup::GrowIfMoreCame() {
  std::vector<WorkerRegistration> spares = gate_.spare_registrations();
  if (spares.empty()) return;
  std::shared_ptr<Membership> members;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ready_.ok() || stopping_ || whole_) return;
    members = members_;
  }
  std::vector<WorkerRegistration> workers = members->registrations();
  std::move(spares.begin(), spares.end(), std::back_inserter(workers));
  const int most = MostThatFit(std::move(workers));
  const absl::Time now = absl::Now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (members != members_ || !ready_.ok()) return;
    if (most <= size_) {
      more_since_ = absl::InfiniteFuture();
      return;
    }
    more_since_ = std::min(more_since_, now);
    if (now - more_since_ < kGrowPatience) return;
    size_ = most;
    grows_ = true;
  }
  members->Fail(absl::UnavailableError(absl::StrCat(
      most, " workers are here: the next epoch has a plan for them")));
}

void WorkerGroup::KillTheOverdue(const Membership& members, absl::Time since) {
  const absl::Time now = absl::Now();
  if (now - since < options_.heartbeat_timeout) return;
  const std::vector<WorkerRegistration> here = members.registrations();
  overdue_.resize(children_->count());
  for (int i = 0; i < children_->count(); ++i) {
    const int64_t pid = children_->pid(i);
    if (here[i].pid == pid || overdue_[i].pid == pid) continue;
    const bool fresh = children_->started(i) > since;
    const absl::Duration patience =
        fresh ? std::min(options_.join_timeout,
                         std::max(kStartPatience * (1 << overdue_[i].times),
                                  options_.heartbeat_timeout))
              : options_.heartbeat_timeout;
    if (now - (fresh ? children_->started(i) : since) <= patience) continue;
    children_->Kill(i, SIGKILL);
    if (!fresh) continue;
    overdue_[i].pid = pid;
    overdue_[i].times = std::min(overdue_[i].times + 1, kMostDoublings);
  }
}

void WorkerGroup::OnExit(int child, int64_t pid, const std::string& how) {
  const std::shared_ptr<Membership> current = members();
  // Later worlds do without a process that ends before it has joined: there
  // will be another.
  const bool counts = [&] {
    const std::lock_guard<std::mutex> lock(mutex_);
    return epoch_ == 1;
  }();
  if (counts || current->registrations()[child].pid == pid) {
    current->OnExit(child, how);
  }
}

void WorkerGroup::Tick() {
  members()->Tick();
  gate_.Tick();
  if (options_.remote && options_.plan_for != nullptr) GrowIfMoreCame();
}

absl::StatusOr<World> WorkerGroup::world() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) {
    return absl::FailedPreconditionError("the cluster has been shut down");
  }
  FACET_RETURN_IF_ERROR(ready_);
  return World{epoch_, members_};
}

ClusterCondition WorkerGroup::condition() const {
  std::shared_ptr<Membership> members;
  uint64_t epoch = 0;
  absl::Status ready;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    members = members_;
    epoch = epoch_;
    ready = ready_;
  }
  ClusterCondition cluster = members->condition();
  cluster.epoch = epoch;
  cluster.spares = gate_.spares();
  cluster.wanted = options_.world_size;
  if (cluster.health.ok()) cluster.health = ready;
  return cluster;
}

std::shared_ptr<Membership> WorkerGroup::members() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return members_;
}

bool WorkerGroup::SleepFor(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(duration),
                    [this] { return stopping_; });
  return !stopping_;
}

bool WorkerGroup::stopping() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stopping_;
}

void WorkerGroup::Report(const std::string& line) const {
  if (options_.report) options_.report(line);
}

absl::Status WorkerGroup::Shutdown() {
  std::shared_ptr<Membership> members;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return absl::OkStatus();
    stopping_ = true;
    members = members_;
    changed_.notify_all();
  }
  if (ticker_.joinable()) ticker_.join();
  gate_.Close("the coordinator shuts down");
  if (members != nullptr) {
    members->Shutdown("the coordinator shuts down", options_.leave_grace);
  }
  if (supervisor_.joinable()) supervisor_.join();
  absl::Status status;
  if (children_ != nullptr) status = children_->Stop(options_.exit_grace);
  if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
  return status;
}

WorkerGroup::~WorkerGroup() { Shutdown().IgnoreError(); }

}  // namespace facet
