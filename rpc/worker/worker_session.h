// The worker's side of one stream, which is its part in one world: takes a
// place, loads, runs the steps it is sent, leaves. Knows no address, no signal
// and no gRPC.
#ifndef FACET_RPC_WORKER_WORKER_SESSION_H_
#define FACET_RPC_WORKER_WORKER_SESSION_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/convert/control_messages.h"
#include "rpc/worker/coordinator_link.h"
#include "rpc/worker/worker_parts.h"

namespace facet {

struct WorkerSessionOptions {
  WorkerRegistration registration;
  // Replaces the directory the coordinator names, where not empty.
  std::string model_directory;
  bool own_process = false;  // all threads stay on the CPUs of the place
  // Hears what became of the weights for each place; null: nobody does.
  std::function<void(const std::string& line)> report;
  // Until there is a place, which says how it is from then on.
  absl::Duration heartbeat_interval = absl::Milliseconds(500);
  // A coordinator not heard of for so long, but for the time of loading, is
  // gone.
  absl::Duration coordinator_timeout = absl::Seconds(30);
  // Called when the session is lost and the rank has not moved in its step for
  // the time limit of a step: it will not come back. Null: nobody is told.
  std::function<void(const std::string& why)> on_stuck;
};

// Four threads: the caller's loads and runs steps, one reads, so that the loss
// of the coordinator aborts a step that waits for a peer, one sends heartbeats,
// and one sends results while the next step runs.
//
// Steps that come while one runs wait their turn. A coordinator knows when it
// has sent enough: more than pp_size + 1 unfinished steps end the session.
class WorkerSession {
 public:
  // `link` and `parts` outlive the session. `before`: the rank of the session
  // before, if any, for its weights.
  WorkerSession(CoordinatorLink* link, const WorkerParts* parts,
                WorkerSessionOptions options,
                std::unique_ptr<RankRunner> before = nullptr);
  ~WorkerSession();

  // Returns when the coordinator says so or Leave() was called: OK. Otherwise
  // what went wrong; the coordinator has been told if it was there to hear it.
  absl::Status Run(CommPort port);

  // Lets the running step finish but none that waits, tells the coordinator
  // why, and makes Run() return OK. From any thread.
  void Leave(const std::string& reason);

  // The coordinator took this worker.
  bool accepted() const;
  // The rank it had, for the next session; null when it had none. After Run().
  std::unique_ptr<RankRunner> TakeRunner();
  // That rank's number; -1 when it had none in this session. After Run().
  int rank() const { return rank_; }
  // A place was given and what it needs is being loaded; Leave() waits for
  // that.
  bool loading() const;

 private:
  absl::Status TakePlace(CommPort port);
  absl::Status RunSteps();
  absl::Status RunStep(const StepPlan& plan);
  // The next message but heartbeats; an error when the session is over.
  absl::StatusOr<CoordinatorMessage> Next();
  void ReadMessages();
  // Errors: INTERNAL for a message that no coordinator would send. Under
  // mutex_.
  absl::Status Receive(CoordinatorMessage message);
  void SendResults();
  // In pieces; a failed send shows as the end of the stream in Next().
  void SendResult(StepResult result);
  void SendHeartbeats();
  // After the session is lost: sees whether the rank comes back from its step.
  void AwaitTheRank(std::unique_lock<std::mutex>& lock);
  void Lose(const absl::Status& status);

  CoordinatorLink* const link_;
  const WorkerParts* const parts_;
  const WorkerSessionOptions options_;

  mutable std::mutex mutex_;
  absl::Duration heartbeat_interval_;
  absl::Duration coordinator_timeout_;
  absl::Duration step_timeout_ = absl::InfiniteDuration();
  // One per waiting thread: a step wakes those alone it is for.
  std::condition_variable changed_;       // inbox_, leave_ or lost_
  std::condition_variable result_ready_;  // outbox_ or ran_all_
  std::condition_variable ending_;        // over_
  std::deque<CoordinatorMessage> inbox_;
  std::deque<StepResult> outbox_;
  bool sending_ = false;  // a result, from the outbox
  bool ran_all_ = false;  // nothing comes into the outbox any more
  int owed_ = 0;          // plans whose result has not been sent
  int most_owed_ = 0;     // by an honest coordinator; 0 before there is a place
  int other_messages_ = 0;  // that came, heartbeats and plans apart
  bool accepted_ = false;
  bool loading_ = false;
  bool over_ = false;  // Run() is returning
  std::string leave_;  // why, once asked to
  absl::Status lost_;  // why the stream is over
  absl::Time heard_;
  std::unique_ptr<RankRunner> before_;
  int rank_ = -1;                       // of runner_; of the caller's thread
  std::unique_ptr<RankRunner> runner_;  // set once, under mutex_
};

}  // namespace facet

#endif  // FACET_RPC_WORKER_WORKER_SESSION_H_
