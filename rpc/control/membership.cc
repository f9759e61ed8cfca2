#include "rpc/control/membership.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// How long a failure may wait for the report that explains it.
constexpr absl::Duration kExplanationGrace = absl::Milliseconds(500);

std::chrono::system_clock::time_point Until(absl::Time time) {
  // Far deadlines overflow inside wait_until; a day is far enough for a wait
  // that is repeated anyway.
  return absl::ToChronoTime(std::min(time, absl::Now() + absl::Hours(24)));
}

bool BlamesPeers(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable ||
         code == absl::StatusCode::kDeadlineExceeded;
}

const std::string* ModeName(const WorkerRegistration& registration,
                            const NumericsOptions& numerics) {
  for (const NumericsCapability& capability : registration.modes) {
    if (capability.numerics == numerics) return &capability.mode;
  }
  return nullptr;
}

}  // namespace

Membership::Membership(MembershipOptions options)
    : options_(std::move(options)),
      members_(options_.tokens.size()),
      last_tick_(options_.clock()) {}

absl::Status Membership::CheckBuildAndMode(
    const WorkerRegistration& registration) const {
  if (registration.build_id != options_.build_id) {
    return absl::FailedPreconditionError(absl::StrCat(
        "worker on ", registration.hostname, " is of another build: expected ",
        options_.build_id, ", found ", registration.build_id,
        "; run the same facet binary everywhere"));
  }
  const std::string* mode = ModeName(registration, options_.numerics);
  if (mode == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "worker on ", registration.hostname, " (", registration.isa,
        ") cannot run the numerics mode this cluster runs, ",
        NumericsName(options_.numerics)));
  }
  for (const Member& member : members_) {
    if (member.phase == Phase::kAbsent) continue;
    const std::string* expected =
        ModeName(member.registration, options_.numerics);
    if (*expected != *mode) {
      return absl::FailedPreconditionError(absl::StrCat(
          "worker on ", registration.hostname, " (", registration.isa,
          ") runs another numerics mode: expected ", *expected, " as on ",
          member.registration.hostname, ", found ", *mode));
    }
    if (member.registration.device != registration.device) {
      return absl::FailedPreconditionError(absl::StrCat(
          "worker on ", registration.hostname,
          " computes on another kind of device: expected ",
          member.registration.device, " as on ", member.registration.hostname,
          ", found ", registration.device,
          "; give all workers of a cluster the same --device"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Membership::OnRegister(WorkerRegistration registration,
                                           std::shared_ptr<WorkerLink> link) {
  Lock lock(mutex_);
  if (leaving_) return absl::UnavailableError("the coordinator is leaving");
  bool invited = false;
  int place = -1;
  for (int i = 0; i < world_size() && place < 0; ++i) {
    if (options_.tokens[i] != registration.join_token) continue;
    invited = true;
    if (members_[i].phase == Phase::kAbsent) place = i;
  }
  if (!invited) {
    return absl::PermissionDeniedError(
        "the join token is not this cluster's; set FACET_JOIN_TOKEN to it");
  }
  const absl::Status accepted = CheckBuildAndMode(registration);
  if (!accepted.ok()) {
    refusal_ = accepted;
    changed_.notify_all();
    return accepted;
  }
  if (!failure_.ok()) return absl::UnavailableError(failure_.message());
  if (place < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more workers than work: the cluster is complete with ",
                     world_size(), world_size() == 1 ? " worker" : " workers"));
  }
  Member& member = members_[place];
  member = Member();
  member.phase = Phase::kJoined;
  member.registration = std::move(registration);
  member.link = std::move(link);
  member.heard = member.spoken = member.moved = options_.clock();
  changed_.notify_all();
  return place;
}

std::string Membership::Describe(int member) const {
  const Member& m = members_[member];
  if (m.phase == Phase::kAbsent) return absl::StrCat("worker ", member);
  return absl::StrCat("worker ", m.rank >= 0 ? m.rank : member, " on ",
                      m.registration.hostname, " (pid ", m.registration.pid,
                      ")");
}

void Membership::Record(int member, Weight weight, const absl::Status& status,
                        std::optional<absl::Time> well) {
  if (leaving_ || settled_ || weight <= weight_) return;
  if (weight_ == Weight::kNone) failed_at_ = options_.clock();
  well_until_ = well.value_or(members_[member].heard);
  weight_ = weight;
  if (weight == Weight::kCause) lost_member_ = member;
  // While ranks load, the caller wants to know what kind of error it is (a bad
  // checkpoint, too little memory); later all that counts is that one is gone.
  const bool loading =
      member_of_rank_.empty() || members_[member].phase != Phase::kReady;
  failure_ = absl::Status(
      loading && weight == Weight::kCause ? status.code()
                                          : absl::StatusCode::kUnavailable,
      absl::StrCat(Describe(member), ": ", status.message()));
  changed_.notify_all();
}

void Membership::OnMessage(int member, WorkerMessage message) {
  const bool progress = std::holds_alternative<WorkerProgress>(message);
  {
    Lock lock(mutex_);
    Member& from = members_[member];
    from.heard = options_.clock();
    if (auto* heartbeat = std::get_if<Heartbeat>(&message)) {
      if (!heartbeat->activity.has_value()) return;
      if (heartbeat->activity->moves != from.activity.moves) {
        from.moved = from.heard;
      }
      from.activity = *std::move(heartbeat->activity);
      from.activity_at = from.heard;
      return;
    }
    from.moved = from.heard;
    Receive(member, from, std::move(message));
  }
  if (progress) ReportProgress();
}

void Membership::Receive(int member, Member& from, WorkerMessage message) {
  absl::Status accepted = absl::InvalidArgumentError(
      absl::StrCat("sent a message out of turn (kind ", message.index(), ")"));
  if (auto* failed = std::get_if<WorkerFailed>(&message)) {
    from.explained = true;
    Record(
        member,
        BlamesPeers(failed->status.code()) ? Weight::kSymptom : Weight::kCause,
        failed->status);
    return;
  }
  if (auto* progress = std::get_if<WorkerProgress>(&message)) {
    if (from.phase == Phase::kLoading) {
      from.progress = *progress;
      from.advanced = from.heard;
      accepted = absl::OkStatus();
    }
  } else if (std::holds_alternative<WorkerReady>(message)) {
    if (from.phase == Phase::kLoading) {
      from.phase = Phase::kReady;
      accepted = absl::OkStatus();
      changed_.notify_all();
    }
  } else if (auto* piece = std::get_if<LogitsPiece>(&message)) {
    accepted = ReceivePart(from.rank, std::move(*piece));
  } else if (auto* logprobs = std::get_if<PromptLogprobsPiece>(&message)) {
    accepted = ReceivePart(from.rank, std::move(*logprobs));
  } else if (auto* result = std::get_if<StepResult>(&message)) {
    accepted = ReceivePart(from.rank, std::move(*result));
  }
  // A failed step leaves answers on their way that nobody waits for.
  if (!accepted.ok() && failure_.ok()) {
    from.explained = true;
    Record(member, Weight::kCause, accepted);
  }
}

template <typename Part>
absl::Status Membership::ReceivePart(int rank, Part part) {
  for (UnfinishedStep& step : unfinished_) {
    if (step.collector.answered(rank)) continue;
    FACET_RETURN_IF_ERROR(step.collector.Add(rank, std::move(part)));
    if (step.collector.complete()) changed_.notify_all();
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "sent a part of step ", part.step, " out of turn: it owes no answer"));
}

void Membership::ReportProgress() {
  if (!options_.load_progress) return;
  // One report at a time, so that sums come in the order they were taken.
  std::lock_guard<std::mutex> reporting(reporting_);
  int64_t done = 0;
  int64_t total = 0;
  {
    Lock lock(mutex_);
    for (const Member& member : members_) {
      done += member.progress.done_bytes;
      total += member.progress.total_bytes;
    }
  }
  // Without mutex_: the callback is the caller's code and may ask for health().
  options_.load_progress(done, total);
}

void Membership::OnGone(int member, const absl::Status& status) {
  Lock lock(mutex_);
  Member& gone = members_[member];
  gone.link = nullptr;
  changed_.notify_all();
  if (member_of_rank_.empty() && !options_.exits_are_reported) {
    // Nothing depends on it yet, so another may take its place.
    gone = Member();
    return;
  }
  if (gone.explained) return;
  Record(member, Weight::kHint,
         absl::UnavailableError(
             status.ok()
                 ? "its connection ended"
                 : absl::StrCat("its connection ended: ", status.message())));
}

void Membership::OnExit(int member, const std::string& how) {
  Lock lock(mutex_);
  if (members_[member].explained) return;
  // A process that was refused says so on its own; its exit adds nothing.
  if (members_[member].phase == Phase::kAbsent && !refusal_.ok()) return;
  Record(member, Weight::kCause,
         absl::UnavailableError(absl::StrCat("its process ", how)));
}

void Membership::Tick() {
  Lock lock(mutex_);
  const absl::Time now = options_.clock();
  // After a pause of this process itself (a suspended machine, a debugger)
  // messages wait unread, and nobody's silence means anything.
  const bool paused = now - last_tick_ > options_.heartbeat_timeout / 2;
  last_tick_ = now;
  for (int i = 0; i < world_size(); ++i) {
    Member& member = members_[i];
    if (member.link == nullptr) continue;
    if (paused) member.heard = member.moved = now;
    if (now - member.heard > options_.heartbeat_timeout) {
      member.explained = true;
      Record(i, Weight::kCause,
             absl::UnavailableError(
                 absl::StrCat("not heard of for ",
                              absl::FormatDuration(absl::Trunc(
                                  now - member.heard, absl::Seconds(1))))));
      member.link->Cancel();
      continue;
    }
    if (now - member.spoken >= options_.heartbeat_interval) {
      member.spoken = now;
      member.link->Send(Heartbeat{});
    }
  }
  EndStall();
  if (!failure_.ok() && !ExpectsMore() && !settled_) {
    settled_ = true;
    CloseAll(failure_);
  }
}

absl::Time Membership::LastMove(const Member& member) const {
  if (unfinished_.empty()) return member.moved;
  return std::max(member.moved, unfinished_.front().oldest_by_clock);
}

void Membership::EndStall() {
  if (unfinished_.empty() || leaving_ || !failure_.ok()) return;
  const absl::Duration age =
      options_.clock() - unfinished_.front().oldest_by_clock;
  if (age < options_.stall_timeout) return;
  const Diagnosis diagnosis = Diagnose(Condition(), options_.stall_timeout);
  if (diagnosis.kind == Diagnosis::Kind::kStalled ||
      diagnosis.kind == Diagnosis::Kind::kDeadlock) {
    Blame(diagnosis, diagnosis.verdict);
  }
}

void Membership::Blame(const Diagnosis& diagnosis, const std::string& what) {
  const absl::Status status = absl::UnavailableError(what);
  if (diagnosis.kind == Diagnosis::Kind::kDeadlock) return Declare(status);
  const int member = member_of_rank_[diagnosis.rank];
  Member& blamed = members_[member];
  blamed.explained = true;
  // Record() says who it is.
  const std::string name = absl::StrCat("rank ", diagnosis.rank, " on ",
                                        blamed.registration.hostname, " (pid ",
                                        blamed.registration.pid, ") ");
  Record(member, Weight::kCause,
         absl::UnavailableError(absl::StripPrefix(what, name)),
         LastMove(blamed));
}

ClusterCondition Membership::condition() const {
  Lock lock(mutex_);
  return Condition();
}

ClusterCondition Membership::Condition() const {
  const absl::Time now = options_.clock();
  ClusterCondition cluster;
  cluster.health = failure_;
  cluster.heartbeat_interval = options_.heartbeat_interval;
  cluster.heartbeat_timeout = options_.heartbeat_timeout;
  cluster.stall_timeout = options_.stall_timeout;
  const UnfinishedStep* oldest =
      unfinished_.empty() ? nullptr : &unfinished_.front();
  if (oldest != nullptr && !oldest->collector.complete()) {
    cluster.step = std::get<StepPlan>(oldest->message).step;
    cluster.step_age = now - oldest->oldest_by_clock;
  }
  for (int i = 0; i < world_size(); ++i) {
    const Member& member =
        members_[member_of_rank_.empty() ? i : member_of_rank_[i]];
    RankCondition& rank = cluster.ranks.emplace_back();
    rank.rank = member.rank;
    rank.host = member.registration.hostname;
    rank.pid = member.registration.pid;
    switch (member.phase) {
      case Phase::kAbsent:
        continue;
      case Phase::kJoined:
        rank.state = RankCondition::State::kJoined;
        break;
      case Phase::kLoading:
        rank.state = RankCondition::State::kLoading;
        break;
      case Phase::kReady:
        rank.state = RankCondition::State::kReady;
        break;
    }
    if (member.link == nullptr) rank.state = RankCondition::State::kGone;
    rank.heard = now - member.heard;
    rank.still = now - LastMove(member);
    rank.owes = cluster.step.has_value() && member.rank >= 0 &&
                !oldest->collector.answered(member.rank);
    rank.activity = member.activity;
    const absl::Duration age = now - member.activity_at;
    rank.activity.since += age;
    if (rank.activity.waits_for >= 0) rank.activity.waits += age;
  }
  return cluster;
}

absl::Status Membership::WaitUntilJoined(absl::Time deadline) {
  Lock lock(mutex_);
  int joined = 0;
  const auto over = [&] {
    joined = 0;
    for (const Member& member : members_) {
      if (member.phase != Phase::kAbsent) ++joined;
    }
    return joined == world_size() || !failure_.ok() ||
           (options_.exits_are_reported && !refusal_.ok());
  };
  while (!over()) {
    if (changed_.wait_until(lock, Until(deadline)) == std::cv_status::timeout &&
        absl::Now() >= deadline && !over()) {
      const std::string counts =
          absl::StrCat(joined, " of ", world_size(), " workers joined in time");
      if (!refusal_.ok()) return Annotate(refusal_, counts);
      return absl::DeadlineExceededError(counts);
    }
  }
  if (!failure_.ok()) return SettleFailure(lock);
  if (joined < world_size()) return refusal_;
  return absl::OkStatus();
}

int Membership::AwaitJoined(int count, absl::Time until) {
  Lock lock(mutex_);
  int joined = 0;
  changed_.wait_until(lock, Until(until), [&] {
    joined = static_cast<int>(std::count_if(
        members_.begin(), members_.end(),
        [](const Member& m) { return m.phase != Phase::kAbsent; }));
    return joined >= count || !failure_.ok() || leaving_;
  });
  return joined;
}

std::vector<WorkerRegistration> Membership::registrations() const {
  Lock lock(mutex_);
  std::vector<WorkerRegistration> all;
  for (const Member& member : members_) all.push_back(member.registration);
  return all;
}

absl::Status Membership::AssignAndWaitUntilReady(
    const std::vector<WorkerAssignment>& assignments) {
  Lock lock(mutex_);
  FACET_CHECK(static_cast<int>(assignments.size()) == world_size());
  member_of_rank_.assign(world_size(), -1);
  for (int i = 0; i < world_size(); ++i) {
    Member& member = members_[i];
    member.rank = assignments[i].rank;
    member_of_rank_.at(member.rank) = i;
    if (member.phase == Phase::kAbsent) {
      Record(i, Weight::kHint, absl::UnavailableError("left before its place"));
      continue;
    }
    member.phase = Phase::kLoading;
    member.advanced = options_.clock();
    if (member.link != nullptr) member.link->Send(assignments[i]);
  }
  const auto slowest = [&]() -> const Member* {
    const Member* found = nullptr;
    for (const Member& member : members_) {
      if (member.phase == Phase::kReady) continue;
      if (found == nullptr || member.advanced < found->advanced) {
        found = &member;
      }
    }
    return found;
  };
  while (failure_.ok() && !leaving_) {
    const Member* waited_for = slowest();
    if (waited_for == nullptr) return absl::OkStatus();
    const absl::Time deadline = waited_for->advanced + options_.load_timeout;
    if (options_.clock() >= deadline) {
      const int member = static_cast<int>(waited_for - members_.data());
      Record(member, Weight::kCause,
             absl::DeadlineExceededError(
                 absl::StrCat("no progress in loading for ",
                              absl::FormatDuration(options_.load_timeout))));
      break;
    }
    changed_.wait_for(lock, std::chrono::milliseconds(200));
  }
  if (leaving_) return absl::UnavailableError("the cluster is being shut down");
  return SettleFailure(lock);
}

absl::Status Membership::GiveUpSteps(const absl::Status& status) {
  unfinished_.clear();
  return status;
}

absl::Status Membership::StartStep(const StepPlan& plan, int64_t vocab_size) {
  std::vector<std::shared_ptr<WorkerLink>> links;
  Lock lock(mutex_);
  if (!failure_.ok()) return GiveUpSteps(SettleFailure(lock));
  if (leaving_) {
    return GiveUpSteps(
        absl::UnavailableError("the cluster has been shut down"));
  }
  UnfinishedStep& step =
      unfinished_.emplace_back(plan, world_size(), vocab_size);
  step.oldest_since = absl::Now();
  step.oldest_by_clock = options_.clock();
  for (int member : member_of_rank_) {
    members_[member].spoken = options_.clock();
    links.push_back(members_[member].link);
  }
  // Answers may come while the last plans go out.
  lock.unlock();
  for (const std::shared_ptr<WorkerLink>& link : links) {
    if (link != nullptr) link->Send(step.message);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> Membership::FinishStep(absl::Duration timeout) {
  Lock lock(mutex_);
  FACET_CHECK(!unfinished_.empty());
  StepCollector& collector = unfinished_.front().collector;
  const absl::Time deadline = unfinished_.front().oldest_since + timeout;
  // A shutdown lets the steps end, unless the workers are gone without them.
  while (!collector.complete() && failure_.ok() && !(leaving_ && AllGone())) {
    if (changed_.wait_until(lock, Until(deadline)) == std::cv_status::timeout &&
        absl::Now() >= deadline && !collector.complete()) {
      if (leaving_) break;
      const std::vector<int> missing = collector.Missing();
      const auto& plan = std::get<StepPlan>(unfinished_.front().message);
      Diagnosis diagnosis =
          Diagnose(Condition(), std::min(timeout, options_.stall_timeout));
      if (diagnosis.rank < 0) diagnosis.rank = missing[0];
      Blame(diagnosis, absl::StrCat("step ", plan.step, " has no answer after ",
                                    absl::FormatDuration(timeout), " from ",
                                    missing.size() == 1 ? "rank " : "ranks ",
                                    absl::StrJoin(missing, ", "), ": ",
                                    diagnosis.verdict));
    }
  }
  if (collector.complete()) {
    absl::StatusOr<StepResult> result = collector.Take();
    if (!result.ok()) {
      Declare(result.status());
      return GiveUpSteps(leaving_ ? result.status() : SettleFailure(lock));
    }
    unfinished_.pop_front();
    if (!unfinished_.empty()) {
      unfinished_.front().oldest_since = absl::Now();
      unfinished_.front().oldest_by_clock = options_.clock();
    }
    return result;
  }
  return GiveUpSteps(
      leaving_ ? absl::UnavailableError("the cluster is being shut down")
               : SettleFailure(lock));
}

bool Membership::ExpectsMore() const {
  // Where nobody reports exits, a broken stream is all there will be.
  const Weight most =
      options_.exits_are_reported ? Weight::kCause : Weight::kHint;
  return weight_ < most && options_.clock() - failed_at_ < kExplanationGrace;
}

absl::Status Membership::SettleFailure(Lock& lock) {
  // Settled elsewhere (Tick) or here, whichever comes first.
  while (!settled_ && ExpectsMore()) {
    changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
  if (!settled_) {
    settled_ = true;
    CloseAll(failure_);
  }
  return failure_;
}

void Membership::CloseAll(const absl::Status& status) {
  for (Member& member : members_) {
    if (member.link != nullptr) member.link->Close(status);
  }
}

bool Membership::AllGone() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const Member& m) { return m.link == nullptr; });
}

absl::Status Membership::health() const {
  Lock lock(mutex_);
  return failure_;
}

void Membership::WaitUntilOver() {
  Lock lock(mutex_);
  changed_.wait(lock, [this] { return !failure_.ok() || leaving_; });
  if (!leaving_) SettleFailure(lock).IgnoreError();
}

int Membership::lost_member() const {
  Lock lock(mutex_);
  return lost_member_;
}

absl::Duration Membership::detection() const {
  Lock lock(mutex_);
  return std::max(failed_at_ - well_until_, absl::ZeroDuration());
}

absl::Time Membership::failed_at() const {
  Lock lock(mutex_);
  return failed_at_;
}

int Membership::present() const {
  Lock lock(mutex_);
  return static_cast<int>(
      std::count_if(members_.begin(), members_.end(),
                    [](const Member& m) { return m.link != nullptr; }));
}

void Membership::Fail(const absl::Status& status) {
  Lock lock(mutex_);
  Declare(status);
}

void Membership::Declare(const absl::Status& status) {
  if (leaving_ || settled_ || weight_ == Weight::kCause) return;
  weight_ = Weight::kCause;
  failure_ = status;
  failed_at_ = well_until_ = options_.clock();
  for (const Member& member : members_) {
    if (unfinished_.empty()) break;
    well_until_ = std::min(well_until_, LastMove(member));
  }
  changed_.notify_all();
}

void Membership::Shutdown(const std::string& reason, absl::Duration grace) {
  Lock lock(mutex_);
  leaving_ = true;
  changed_.notify_all();
  for (Member& member : members_) {
    if (member.link == nullptr) continue;
    member.link->Send(WorkerShutdown{reason});
  }
  const absl::Time deadline = absl::Now() + grace;
  while (!AllGone() && absl::Now() < deadline) {
    changed_.wait_until(lock, Until(deadline));
  }
  for (Member& member : members_) {
    if (member.link != nullptr) member.link->Cancel();
  }
}

}  // namespace facet
