// The workers of one world as the coordinator knows them: who may join, how far
// each has come, who is lost and why. Owns no thread, no socket and no clock:
// streams report through WorkerEvents, the coordinator's threads wait on it,
// and a timer calls Tick().
#ifndef FACET_RPC_CONTROL_MEMBERSHIP_H_
#define FACET_RPC_CONTROL_MEMBERSHIP_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
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
  //   FAILED_PRECONDITION  all places are taken; another build or numerics mode
  absl::StatusOr<int> OnRegister(WorkerRegistration registration,
                                 std::shared_ptr<WorkerLink> link) override;
  void OnMessage(int member, WorkerMessage message) override;
  void OnGone(int member, const absl::Status& status) override;

  // The process of `member` has ended, as `how` says ("killed by signal 9").
  void OnExit(int member, const std::string& how);

  // Sends heartbeats and finds workers that fell silent. Call it about every
  // quarter of heartbeat_interval.
  void Tick();

  // Errors: DEADLINE_EXCEEDED with the number that joined; that of a worker
  // which was refused or lost on the way.
  absl::Status WaitUntilJoined(absl::Time deadline);

  // What the workers said of themselves. REQUIRES: WaitUntilJoined() is OK.
  std::vector<WorkerRegistration> registrations() const;

  // Gives member i the place assignments[i] and waits until all are ready. The
  // ranks in `assignments` are a permutation of the members.
  //
  // Errors: that of the first worker that fails, named.
  absl::Status AssignAndWaitUntilReady(
      const std::vector<WorkerAssignment>& assignments);

  // Sends `plan` to all and joins what they answer. One thread at a time.
  //
  // Errors: UNAVAILABLE, with rank, host and reason, when a worker is lost or
  // has not answered after `timeout`; from then on every call fails so at once.
  absl::StatusOr<StepResult> RunStep(const StepPlan& plan, int64_t vocab_size,
                                     absl::Duration timeout);

  // OK, or why this world is of no more use.
  absl::Status health() const;

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
    absl::Time heard;        // last message
    absl::Time advanced;     // last message that showed progress in loading
    absl::Time spoken;       // last message to it
    bool explained = false;  // it said itself why it fails
  };
  // How well a loss explains the failure of the world: a worker that complains
  // of its peers is a symptom, a broken stream a hint, an exit the cause.
  enum class Weight { kNone, kSymptom, kHint, kCause };

  using Lock = std::unique_lock<std::mutex>;

  absl::Status CheckBuildAndMode(const WorkerRegistration& registration) const;
  std::string Describe(int member) const;
  void Record(int member, Weight weight, const absl::Status& status);
  void Receive(int member, Member& from, WorkerMessage message);
  void ReportProgress();
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
  bool settled_ = false;
  bool leaving_ = false;
  StepCollector* collector_ = nullptr;  // of the step that runs
  absl::Time last_tick_;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_MEMBERSHIP_H_
