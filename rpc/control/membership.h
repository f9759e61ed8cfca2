// The workers of one world as the coordinator knows them: who may join, how far
// each has come, who is lost and why. Owns no thread, no socket and no clock:
// streams report through WorkerEvents, the coordinator's threads wait on it,
// and a timer calls Tick().
#ifndef FACET_RPC_CONTROL_MEMBERSHIP_H_
#define FACET_RPC_CONTROL_MEMBERSHIP_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "rpc/control/diagnosis.h"
#include "rpc/control/step_collector.h"
#include "rpc/control/worker_link.h"
#include "rpc/convert/control_messages.h"

namespace facet {

struct MembershipOptions {
  // One entry per worker that is invited: what it has to present. Member i of
  // the world presents tokens[i]; equal tokens are given out in order.
  std::vector<std::string> tokens;
  std::string build_id;
  NumericsOptions numerics;
  // True: someone reports the end of worker processes through OnExit(), so a
  // stream that breaks is explained a moment later.
  bool exits_are_reported = false;
  absl::Duration heartbeat_interval = absl::Seconds(1);
  // A worker not heard of for so long is lost.
  absl::Duration heartbeat_timeout = absl::Seconds(15);
  // While workers load, the longest time without any progress of one of them.
  absl::Duration load_timeout = absl::Minutes(10);
  // A rank that says it is there but makes no progress in a step for so long,
  // while the others wait for it, is lost. Those that all wait for each other
  // for so long are a lost world.
  absl::Duration stall_timeout = absl::Minutes(2);
  // Bytes of weights over all workers; one call at a time, from the streams'
  // threads.
  std::function<void(int64_t done, int64_t total)> load_progress;
  std::function<absl::Time()> clock = [] { return absl::Now(); };
};

class Membership : public WorkerEvents {
 public:
  explicit Membership(MembershipOptions options);

  int world_size() const { return static_cast<int>(options_.tokens.size()); }

  // Errors of OnRegister:
  //   PERMISSION_DENIED    a token nobody was given
  //   FAILED_PRECONDITION  another build or numerics mode
  //   UNAVAILABLE          this world has failed or is leaving
  //   RESOURCE_EXHAUSTED   all places are taken
  absl::StatusOr<int> OnRegister(WorkerRegistration registration,
                                 std::shared_ptr<WorkerLink> link) override;
  void OnMessage(int member, WorkerMessage message) override;
  void OnGone(int member, const absl::Status& status) override;

  // The process of `member` has ended, as `how` says ("killed by signal 9").
  void OnExit(int member, const std::string& how);

  // Sends heartbeats and finds workers that fell silent or stand still. Call it
  // about every
  // quarter of heartbeat_interval.
  void Tick();

  // Errors: DEADLINE_EXCEEDED with the number that joined; that of a worker
  // which was refused or lost on the way.
  absl::Status WaitUntilJoined(absl::Time deadline);

  // Waits until `count` have joined, one is lost, or until `until`. Returns how
  // many have.
  int AwaitJoined(int count, absl::Time until);

  // What the workers said of themselves, nothing of those that have not joined.
  std::vector<WorkerRegistration> registrations() const;

  // Gives member i the place assignments[i] and waits until all are ready. The
  // ranks in `assignments` are a permutation of the members.
  //
  // Errors: that of the first worker that fails, named.
  absl::Status AssignAndWaitUntilReady(
      const std::vector<WorkerAssignment>& assignments);

  // Sends `plan` to all, behind the steps before it. One thread at a time calls
  // StartStep() and FinishStep(); after an error of either no step is
  // unfinished.
  //
  // Errors: UNAVAILABLE, with rank, host and reason, once a worker is lost;
  // from then on every call fails so at once.
  absl::Status StartStep(const StepPlan& plan, int64_t vocab_size);

  // Waits until all have answered the oldest unfinished step and joins what
  // they said. REQUIRES: there is one.
  //
  // Errors: as above, also when the step has no answer `timeout` after it
  // became the oldest.
  absl::StatusOr<StepResult> FinishStep(absl::Duration timeout);

  // OK, or why this world is of no more use.
  absl::Status health() const;

  // Waits until this world has failed and its workers are told so, or until it
  // is asked to leave.
  void WaitUntilOver();

  // The member that is known to be the cause of the failure; -1 when none is.
  int lost_member() const;
  // When the failure was first seen. REQUIRES: there is one.
  absl::Time failed_at() const;
  // From the last sign that all was well to then: what the failure took to be
  // seen, or a little more. REQUIRES: there is one.
  absl::Duration detection() const;

  // How the members stand, by rank once they have places. Without epoch and
  // spares, which it knows nothing of. From any thread, also while steps hang.
  ClusterCondition condition() const;
  // Those that have registered and whose stream stands.
  int present() const;

  // Declares the world lost, as if a worker had failed.
  void Fail(const absl::Status& status);

  // Asks every worker to leave, then waits until the streams are over or
  // `grace` has passed and cancels those still there. Losses do not count any
  // more.
  void Shutdown(const std::string& reason, absl::Duration grace);

 private:
  enum class Phase { kAbsent, kJoined, kLoading, kReady };
  struct Member {
    Phase phase = Phase::kAbsent;
    WorkerRegistration registration;
    std::shared_ptr<WorkerLink> link;  // null when there is no stream
    int rank = -1;
    WorkerProgress progress;
    absl::Time heard;       // last message
    absl::Time advanced;    // last message that showed progress in loading
    absl::Time spoken;      // last message to it
    absl::Time moved;       // last sign of progress in a step
    RankActivity activity;  // as of activity_at
    absl::Time activity_at;
    bool explained = false;  // it said itself why it fails
  };
  struct UnfinishedStep {
    UnfinishedStep(const StepPlan& plan, int world_size, int64_t vocab_size)
        : message(plan),
          collector(&std::get<StepPlan>(message), world_size, vocab_size) {}
    UnfinishedStep(const UnfinishedStep&) = delete;
    UnfinishedStep& operator=(const UnfinishedStep&) = delete;

    const CoordinatorMessage message;
    StepCollector collector;
    absl::Time oldest_since;
    absl::Time oldest_by_clock;  // the same on options_.clock
  };
  // How well a loss explains the failure of the world: a worker that complains
  // of its peers is a symptom, a broken stream a hint, an exit the cause.
  enum class Weight { kNone, kSymptom, kHint, kCause };

  using Lock = std::unique_lock<std::mutex>;

  absl::Status CheckBuildAndMode(const WorkerRegistration& registration) const;
  std::string Describe(int member) const;
  // `well`: when all was still well with the member; its last message's time
  // where it is absent.
  void Record(int member, Weight weight, const absl::Status& status,
              std::optional<absl::Time> well = std::nullopt);
  ClusterCondition Condition() const;
  // Ends the world where the rank that the oldest step waits for stands still,
  // or all wait for each other.
  void EndStall();
  void Blame(const Diagnosis& diagnosis, const std::string& what);
  absl::Time LastMove(const Member& member) const;
  void Declare(const absl::Status& status);  // Fail() under mutex_
  void Receive(int member, Member& from, WorkerMessage message);
  // Gives a part of an answer to the step it is of: each rank answers the steps
  // in their order.
  template <typename Part>
  absl::Status ReceivePart(int rank, Part part);
  // No step is unfinished any more; returns `status`.
  absl::Status GiveUpSteps(const absl::Status& status);
  void ReportProgress();
  // A better explanation of the failure may be on its way.
  bool ExpectsMore() const;
  // Waits until the failure is explained or no explanation can be expected,
  // tells the other workers, and returns it.
  absl::Status SettleFailure(Lock& lock);
  void CloseAll(const absl::Status& status);
  bool AllGone() const;

  const MembershipOptions options_;
  std::mutex reporting_;  // taken before mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Member> members_;
  std::vector<int> member_of_rank_;
  absl::Status refusal_;  // the last worker that was turned away
  Weight weight_ = Weight::kNone;
  absl::Status failure_;
  absl::Time failed_at_;
  absl::Time well_until_;
  int lost_member_ = -1;
  bool settled_ = false;
  bool leaving_ = false;
  // Oldest first. Added to and taken from by the thread that runs steps alone.
  std::deque<UnfinishedStep> unfinished_;
  absl::Time last_tick_;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_MEMBERSHIP_H_
