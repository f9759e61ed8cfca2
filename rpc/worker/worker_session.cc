#include "rpc/worker/worker_session.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/thread_pool.h"
#include "rpc/convert/control_convert.h"
#include "rpc/worker/confine_process.h"

namespace facet {
namespace {

constexpr char kAsked[] = "asked to leave";

// A place and a farewell, and some.
constexpr int kMostOtherMessages = 4;

bool IsRequestToLeave(const absl::Status& status) {
  return status.code() == absl::StatusCode::kCancelled &&
         status.message() == kAsked;
}

}  // namespace

WorkerSession::WorkerSession(CoordinatorLink* link, const WorkerParts* parts,
                             WorkerSessionOptions options,
                             std::unique_ptr<RankRunner> before)
    : link_(link),
      parts_(parts),
      options_(std::move(options)),
      heartbeat_interval_(options_.heartbeat_interval),
      coordinator_timeout_(options_.coordinator_timeout),
      heard_(absl::Now()),
      before_(std::move(before)) {}

WorkerSession::~WorkerSession() = default;

bool WorkerSession::accepted() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return accepted_;
}

std::unique_ptr<RankRunner> WorkerSession::TakeRunner() {
  return runner_ != nullptr ? std::move(runner_) : std::move(before_);
}

bool WorkerSession::loading() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return loading_;
}

absl::Status WorkerSession::Run(CommPort port) {
  link_->Send(options_.registration);
  std::thread reader([this] { ReadMessages(); });
  std::thread heart([this] { SendHeartbeats(); });
  std::thread sender([this] { SendResults(); });

  absl::Status status = TakePlace(std::move(port));
  if (status.ok()) status = RunSteps();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ran_all_ = true;
    result_ready_.notify_all();
  }
  sender.join();

  absl::Status farewell = status;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    loading_ = false;
    if (!leave_.empty()) farewell = absl::CancelledError(leave_);
    ending_.notify_all();
  }
  heart.join();
  if (!farewell.ok() && !IsRequestToLeave(farewell)) {
    link_->Send(WorkerFailed{farewell});
  }
  link_->FinishSending();
  {
    // The coordinator ends the stream in answer; one that does not is not worth
    // waiting for.
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(2),
                      [this] { return !lost_.ok(); });
  }
  link_->Cancel();
  reader.join();
  return IsRequestToLeave(status) ? absl::OkStatus() : status;
}

void WorkerSession::Leave(const std::string& reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (leave_.empty()) leave_ = reason.empty() ? kAsked : reason;
  changed_.notify_all();
}

absl::StatusOr<CoordinatorMessage> WorkerSession::Next() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] {
    return !inbox_.empty() || !leave_.empty() || !lost_.ok();
  });
  if (!leave_.empty()) return absl::CancelledError(kAsked);
  if (!inbox_.empty()) {
    CoordinatorMessage message = std::move(inbox_.front());
    inbox_.pop_front();
    return message;
  }
  return lost_;
}

absl::Status WorkerSession::TakePlace(CommPort port) {
  FACET_ASSIGN_OR_RETURN(CoordinatorMessage message, Next());
  if (auto* refused = std::get_if<WorkerRefused>(&message)) {
    return Annotate(refused->status, "the coordinator refused this worker");
  }
  if (std::holds_alternative<WorkerShutdown>(message)) {
    return absl::CancelledError(kAsked);
  }
  auto* place = std::get_if<WorkerAssignment>(&message);
  if (place == nullptr) {
    return absl::InternalError("the coordinator sent a step before a place");
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    loading_ = true;
    heartbeat_interval_ = place->heartbeat_interval;
    coordinator_timeout_ = place->heartbeat_timeout;
    step_timeout_ = place->comm_timeout;
  }
  if (!place->cpus.empty()) {
    if (options_.own_process) ConfineProcess(place->cpus);
    PinThisThread(place->cpus[0]);
  }

  HostCommOptions comm;
  comm.rank = place->rank;
  comm.endpoints = place->endpoints;
  comm.world_key = place->world_key;
  comm.timeout = place->comm_timeout;
  comm.dead_after = place->heartbeat_timeout;
  // A peer that is lost before it has come is never connected to.
  comm.give_up = [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    return !lost_.ok() || !leave_.empty();
  };
  absl::StatusOr<std::unique_ptr<Communicator>> world = port.connect(comm);
  port.connect = nullptr;  // closes the listener
  {
    // What was lost says it better.
    std::lock_guard<std::mutex> lock(mutex_);
    FACET_RETURN_IF_ERROR(lost_);
  }
  FACET_RETURN_IF_ERROR(world.status());

  RankOptions rank;
  rank.model_directory = options_.model_directory.empty()
                             ? place->model_directory
                             : options_.model_directory;
  rank.parallelism = place->parallelism;
  rank.rank = place->rank;
  rank.num_threads = place->threads;
  rank.cpus = place->cpus;
  rank.numerics = place->numerics;
  rank.pools = place->pools;
  rank.max_step_tokens = place->max_step_tokens;
  rank.check_weights = place->check_weights;
  std::atomic<int64_t> read = 0;
  const LoadProgress progress = [&](int64_t done, int64_t total) {
    read = total;
    link_->Send(WorkerProgress{done, total});
  };
  FACET_ASSIGN_OR_RETURN(
      std::unique_ptr<RankRunner> runner,
      parts_->load(rank, *std::move(world), progress, std::move(before_)));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    loading_ = false;
    heard_ = absl::Now();
    runner_ = std::move(runner);
  }
  if (options_.report) {
    options_.report(read == 0
                        ? absl::StrCat("rank ", rank.rank, " keeps its weights")
                        : absl::StrCat("rank ", rank.rank, " read ",
                                       read.load(), " bytes of weights"));
  }
  rank_ = rank.rank;
  link_->Send(WorkerReady{});
  return absl::OkStatus();
}

absl::Status WorkerSession::RunSteps() {
  while (true) {
    FACET_ASSIGN_OR_RETURN(const CoordinatorMessage message, Next());
    if (std::holds_alternative<WorkerShutdown>(message)) {
      return absl::CancelledError(kAsked);
    }
    if (const auto* refused = std::get_if<WorkerRefused>(&message)) {
      return Annotate(refused->status, "the coordinator refused this worker");
    }
    const auto* plan = std::get_if<StepPlan>(&message);
    if (plan == nullptr) {
      return absl::InternalError("the coordinator gave a second place");
    }
    FACET_RETURN_IF_ERROR(RunStep(*plan));
  }
}

absl::Status WorkerSession::RunStep(const StepPlan& plan) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!lost_.ok()) return lost_;
  }
  absl::StatusOr<StepResult> result = runner_->Run(plan);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // An aborted step fails with this reason; the reason says it better.
    if (!result.ok() && !lost_.ok()) return lost_;
  }
  FACET_RETURN_IF_ERROR(result.status());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    outbox_.push_back(*std::move(result));
  }
  result_ready_.notify_all();
  return absl::OkStatus();
}

void WorkerSession::SendResults() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    result_ready_.wait(lock, [this] { return !outbox_.empty() || ran_all_; });
    if (outbox_.empty()) return;
    StepResult result = std::move(outbox_.front());
    outbox_.pop_front();
    sending_ = true;
    lock.unlock();
    SendResult(std::move(result));
    lock.lock();
    sending_ = false;
    --owed_;
  }
}

void WorkerSession::SendResult(StepResult result) {
  for (const LogitsBlock& block : result.logits) {
    for (LogitsPiece& piece : CutLogits(result.step, block)) {
      if (!link_->Send(std::move(piece))) return;
    }
  }
  result.logits.clear();
  for (PromptLogprobsPiece& piece :
       CutPromptLogprobs(result.step, std::move(result.prompt_logprobs))) {
    if (!link_->Send(std::move(piece))) return;
  }
  result.prompt_logprobs.clear();
  link_->Send(std::move(result));
}

void WorkerSession::ReadMessages() {
  while (true) {
    absl::StatusOr<CoordinatorMessage> message = link_->Read();
    if (!message.ok()) {
      Lose(message.status());
      return;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    heard_ = absl::Now();
    const absl::Status received = Receive(*std::move(message));
    if (!received.ok() && lost_.ok()) {
      lost_ = received;
      if (runner_ != nullptr) runner_->Abort(lost_);
    }
    changed_.notify_all();
    if (!received.ok()) return;
  }
}

absl::Status WorkerSession::Receive(CoordinatorMessage message) {
  if (over_ || std::holds_alternative<Heartbeat>(message)) {
    return absl::OkStatus();
  }
  if (const auto* plan = std::get_if<StepPlan>(&message)) {
    if (owed_ == most_owed_) {
      return absl::InternalError(absl::StrCat("the coordinator sent step ",
                                              plan->step, " while ", owed_,
                                              " steps are unfinished"));
    }
    ++owed_;
  } else if (++other_messages_ > kMostOtherMessages) {
    return absl::InternalError(absl::StrCat(
        "the coordinator sent ", other_messages_,
        " messages that are no steps, expected at most ", kMostOtherMessages));
  }
  if (const auto* place = std::get_if<WorkerAssignment>(&message)) {
    accepted_ = true;
    // One more than it has unfinished: it may have a result before this end
    // knows that it was sent.
    most_owed_ = std::max(place->parallelism.pp_size + 2, place->most_steps);
  }
  inbox_.push_back(std::move(message));
  return absl::OkStatus();
}

void WorkerSession::Lose(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (lost_.ok()) {
    lost_ =
        Annotate(status, over_ ? "the stream is over" : "lost the coordinator");
    // However a stream breaks and whoever else is to blame, this worker may
    // have a part in the next world; not so when it cannot read what it is
    // sent.
    if (!absl::IsInvalidArgument(lost_)) {
      lost_ = absl::UnavailableError(lost_.message());
    }
  }
  if (runner_ != nullptr && !over_) runner_->Abort(lost_);
  changed_.notify_all();
}

void WorkerSession::SendHeartbeats() {
  std::unique_lock<std::mutex> lock(mutex_);
  absl::Time last = absl::Now();
  while (!over_) {
    ending_.wait_for(lock, absl::ToChronoMilliseconds(heartbeat_interval_),
                     [this] { return over_; });
    if (over_) return;
    if (!lost_.ok()) return AwaitTheRank(lock);
    const absl::Time now = absl::Now();
    // After a pause of this process itself messages wait unread, and nobody's
    // silence means anything.
    if (loading_ || now - last > coordinator_timeout_ / 2) heard_ = now;
    last = now;
    const bool silent = now - heard_ > coordinator_timeout_;
    // A result on its way says as much, and may wait for the network.
    const bool speak = !sending_;
    Heartbeat heartbeat;
    if (runner_ != nullptr) heartbeat.activity = runner_->activity();
    lock.unlock();
    // A stream that takes nothing more wakes the reader, which knows why.
    if (silent || (speak && !link_->Send(heartbeat))) link_->Cancel();
    lock.lock();
    if (silent && lost_.ok()) {
      lost_ = absl::UnavailableError(
          absl::StrCat("lost the coordinator: not heard of for ",
                       absl::FormatDuration(coordinator_timeout_)));
      if (runner_ != nullptr) runner_->Abort(lost_);
    }
  }
}

void WorkerSession::AwaitTheRank(std::unique_lock<std::mutex>& lock) {
  uint64_t moves = 0;
  absl::Time moved = absl::Now();
  while (!over_ && options_.on_stuck != nullptr) {
    ending_.wait_for(lock, absl::ToChronoMilliseconds(heartbeat_interval_),
                     [this] { return over_; });
    if (over_ || runner_ == nullptr) continue;
    const RankActivity activity = runner_->activity();
    const absl::Time now = absl::Now();
    if (activity.moves != std::exchange(moves, activity.moves)) {
      moved = now;
    } else if (now - moved > step_timeout_) {
      options_.on_stuck(absl::StrCat(
          "step ", activity.step, " does not end: nothing has moved for ",
          absl::FormatDuration(step_timeout_), " in layer ", activity.layer,
          ", ", activity.operation, ", and the world it was for is lost"));
      return;
    }
  }
}

}  // namespace facet
