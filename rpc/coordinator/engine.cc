#include "rpc/coordinator/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/coordinator/live_request.h"
#include "rpc/coordinator/mask_maker.h"
#include "rpc/coordinator/output_form.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/coordinator/step_clock.h"
#include "scheduler/batching/scheduler.h"

namespace facet {
namespace {

// Of one step's reply when whole logits are wanted.
constexpr int64_t kMaxLogitsBytes = int64_t{256} << 20;
// The next step is handed over so long before this one should end: what a plan
// takes to reach the workers, and a share of the step for a wrong guess.
constexpr absl::Duration kLead = absl::Milliseconds(2);
constexpr double kEarly = 0.05;
// A step waits so long for masks in the making. Answers whose masks take longer
// miss it.
constexpr absl::Duration kMaskPatience = absl::Milliseconds(2);
// How often a lost executor is asked whether it has ranks again.
constexpr absl::Duration kResumeInterval = absl::Milliseconds(5);
// Ranks that were lost so often in a row, and no step in between, are taken to
// fall over what they are asked to compute.
constexpr int kMostVainRecoveries = 5;

SchedulerLimits MakeLimits(const ModelConfig& model, const Executor& executor,
                           const EngineLimits& limits) {
  SchedulerLimits result;
  result.pools = executor.pools();
  result.vocab_size = model.vocab_size;
  result.sliding_window = model.sliding_window;
  result.max_positions = model.max_position_embeddings;
  result.max_step_tokens = limits.max_step_tokens;
  result.max_sequences = limits.max_sequences;
  result.micro_batches = executor.stages();
  result.max_unapplied = executor.stages() + 1;
  result.prefix_cache = limits.prefix_cache;
  const int64_t row_bytes = model.vocab_size * int64_t{sizeof(float)};
  result.max_logits_rows = static_cast<int>(std::clamp<int64_t>(
      kMaxLogitsBytes / row_bytes, 1, limits.max_step_tokens));
  return result;
}

// A step that was handed over.
struct StepInFlight {
  absl::Time start;
  absl::Duration planning;
  int64_t slices = 0;
  int64_t tokens = 0;
  int64_t decode_tokens = 0;
  int64_t preemptions = 0;
};

class EngineImpl : public Engine {
 public:
  EngineImpl(Executor* executor, const ModelConfig* model,
             const Tokenizer* tokenizer, const EngineLimits& limits,
             ServingMetrics* metrics)
      : executor_(executor),
        model_(model),
        tokenizer_(tokenizer),
        limits_(limits),
        metrics_(metrics),
        scheduler_(MakeLimits(*model, *executor, limits)) {
    if (tokenizer != nullptr) forms_.emplace(tokenizer);
    ShowQueue();  // the pages are told before the first step
    thread_ = std::thread([this] { Run(); });
  }

  ~EngineImpl() override {
    Drain(absl::ZeroDuration());
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  absl::StatusOr<uint64_t> Submit(GenerateRequest request,
                                  Callback callback) override {
    absl::StatusOr<uint64_t> id =
        Queue(std::move(request), std::move(callback));
    if (!id.ok() && metrics_ != nullptr) metrics_->RequestRefused(id.status());
    return id;
  }

  void Cancel(uint64_t request) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled_.push_back(request);
    wake_.notify_all();
  }

  void Drain(absl::Duration grace) override {
    std::unique_lock<std::mutex> lock(mutex_);
    draining_ = true;
    wake_.notify_all();
    // A year is for ever, and within what the clock can add.
    const absl::Duration wait =
        std::clamp(grace, absl::ZeroDuration(), absl::Hours(24 * 365));
    const auto done = [this] {
      return idle_ && incoming_.empty() && cancelled_.empty() && !end_all_;
    };
    if (idle_changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), done)) {
      return;
    }
    end_all_ = true;
    wake_.notify_all();
    idle_changed_.wait(lock, done);
  }

  absl::Status health() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return health_;
  }

 private:
  struct Incoming {
    uint64_t id = 0;
    std::unique_ptr<LiveRequest> request;
  };
  struct Live {
    std::unique_ptr<LiveRequest> request;
    uint64_t first_sequence = 0;  // of its answers, which follow each other
  };

  absl::StatusOr<uint64_t> Queue(GenerateRequest request, Callback callback) {
    FACET_RETURN_IF_ERROR(
        CheckRequest(request, model_->vocab_size, tokenizer_ != nullptr));
    const absl::Time now = absl::Now();
    if (request.deadline <= now) {
      return absl::DeadlineExceededError("the request's time is over");
    }
    // The first grammar waits for the trie of the vocabulary, here and not on
    // the engine's thread.
    if (request.grammar != nullptr) forms_->masks();
    Incoming incoming;
    incoming.request = std::make_unique<LiveRequest>(
        std::move(request), std::move(callback), tokenizer_,
        forms_.has_value() ? &*forms_ : nullptr, metrics_, now);
    const int answers = incoming.request->answers();
    FACET_RETURN_IF_ERROR(incoming.request->CheckWith(scheduler_));

    const std::lock_guard<std::mutex> lock(mutex_);
    FACET_RETURN_IF_ERROR(refusal_);
    if (draining_) {
      return absl::UnavailableError("the server is shutting down");
    }
    const int queued = incoming_answers_ + waiting_;
    if (queued + answers > limits_.max_queue) {
      const absl::Duration wait = RetryWait(queued);
      return WithRetryAfter(
          absl::ResourceExhaustedError(absl::StrCat(
              "the queue is full: ", queued, " answers are waiting of at most ",
              limits_.max_queue, "; try again in ",
              absl::FormatDuration(wait))),
          wait);
    }
    incoming.id = next_id_++;
    incoming_answers_ += answers;
    incoming_.push_back(std::move(incoming));
    wake_.notify_all();
    return incoming_.back().id;
  }

  // About the time until the queue has drained to its half. Holds mutex_.
  absl::Duration RetryWait(int queued) const {
    if (answer_interval_ == absl::ZeroDuration()) return absl::Seconds(1);
    const absl::Duration wait = answer_interval_ * (queued / 2 + 1);
    return std::clamp(absl::Ceil(wait, absl::Milliseconds(100)),
                      absl::Milliseconds(100), absl::Minutes(1));
  }

  // The engine's thread.
  void Run() {
    bool something = false;  // the scheduler may have something to plan
    while (TakeCommands(something)) {
      if (failed_) {
        something = false;
        continue;
      }
      if (loss_.has_value()) {
        something = TryToResume();
        continue;
      }
      const absl::Status status = Advance(&something);
      if (status.ok()) continue;
      something = false;
      if (absl::IsUnavailable(status)) {
        Suspend(status);
      } else {
        Fail(status);
      }
    }
  }

  // The ranks are lost, and every page with them.
  void Suspend(const absl::Status& status) {
    loss_ = {absl::Now(), status};
    in_flight_.clear();
    scheduler_.Restart();
    if (++vain_recoveries_ > kMostVainRecoveries) {
      vain_recoveries_ = 0;
      EndAll(absl::UnavailableError(absl::StrCat(
          "the workers were lost ", kMostVainRecoveries,
          " times in a row while they computed this: ", status.message())));
    }
    SetHealth(status, absl::OkStatus());
    ShowQueue();
  }

  // True: there are ranks again, and what was waiting goes on.
  bool TryToResume() {
    const absl::Status status = executor_->Resume();
    if (status.ok()) {
      if (metrics_ != nullptr) metrics_->Recovered(absl::Now() - loss_->since);
      loss_.reset();
      SetHealth(status, status);
      return true;
    }
    if (absl::IsFailedPrecondition(status)) {
      Fail(loss_->why);
    } else if (absl::Now() - loss_->since >= limits_.recovery_timeout) {
      const absl::Status over = absl::UnavailableError(absl::StrCat(
          "no recovery within ", absl::FormatDuration(limits_.recovery_timeout),
          ": ", status.message()));
      SetHealth(status, over);
      EndAll(over);
    } else {
      SetHealth(status, absl::OkStatus());
    }
    return false;
  }

  // `refusal`: what new requests are turned away with, if it is an error.
  void SetHealth(const absl::Status& health, const absl::Status& refusal) {
    const std::lock_guard<std::mutex> lock(mutex_);
    health_ = health;
    refusal_ = refusal;
  }

  // Hands over the next step or takes in the oldest.
  absl::Status Advance(bool* something) {
    const size_t stages = executor_->stages();
    const bool more = in_flight_.size() <= stages;
    if (more && (in_flight_.size() < stages || TimeForNext())) {
      FACET_ASSIGN_OR_RETURN(const bool planned, PlanNext());
      if (planned) return absl::OkStatus();
      *something = false;
    }
    if (in_flight_.empty()) return absl::OkStatus();
    FACET_RETURN_IF_ERROR(FinishOldest());
    *something = true;
    return absl::OkStatus();
  }

  // Whether the step on top of those that run should go out now.
  bool TimeForNext() {
    return executor_->stages() > 1 || absl::Now() >= NextStart();
  }

  // When it should.
  absl::Time NextStart() const {
    const StepInFlight& last = in_flight_.back();
    const absl::Duration expected = clock_.Predict(last.slices, last.tokens);
    return last.start + expected * (1 - kEarly) - kLead;
  }

  absl::StatusOr<bool> PlanNext() {
    TakeMasks();
    const absl::Time start = absl::Now();
    const int64_t preemptions = scheduler_.stats().preemptions;
    const std::optional<StepPlan> plan = scheduler_.PlanStep();
    ShowQueue();
    if (!plan.has_value()) return false;
    StepInFlight step;
    step.start = absl::Now();
    step.planning = step.start - start;
    step.preemptions = scheduler_.stats().preemptions - preemptions;
    for (const SequenceSlice& slice : plan->slices) {
      const auto count = static_cast<int64_t>(slice.tokens.size());
      ++step.slices;
      step.tokens += count;
      if (count == 1 && slice.sample && !slice.begins) ++step.decode_tokens;
      if (!slice.begins.has_value()) continue;
      const auto found = answer_of_.find(slice.sequence.value);
      if (found != answer_of_.end()) NoteBegin(found->second, slice, start);
    }
    FACET_RETURN_IF_ERROR(executor_->Start(*plan));
    in_flight_.push_back(step);
    return true;
  }

  absl::Status FinishOldest() {
    FACET_ASSIGN_OR_RETURN(StepResult result, executor_->Finish());
    vain_recoveries_ = 0;
    const absl::Time now = absl::Now();
    const StepInFlight step = in_flight_.front();
    in_flight_.pop_front();
    // A step begins when the one before it ends, however early it came.
    const absl::Duration duration = now - std::max(step.start, last_finish_);
    last_finish_ = now;
    if (step.tokens > 0) clock_.Record(step.slices, step.tokens, duration);
    if (metrics_ != nullptr) {
      for (size_t rank = 0; rank < result.rank_compute.size(); ++rank) {
        metrics_->WorkerStepDone(static_cast<int>(rank),
                                 result.rank_compute[rank]);
      }
    }
    FACET_ASSIGN_OR_RETURN(std::vector<SequenceUpdate> updates,
                           scheduler_.Apply(std::move(result)));
    int64_t generated = 0;
    for (SequenceUpdate& update : updates) {
      generated += update.token.has_value() ? 1 : 0;
      Deliver(std::move(update), now);
    }
    if (metrics_ != nullptr) {
      StepRecord record;
      record.decode_tokens = step.decode_tokens;
      record.prefill_tokens = step.tokens - step.decode_tokens;
      record.generated_tokens = generated;
      record.preemptions = step.preemptions;
      record.planning = step.planning;
      record.duration = duration;
      metrics_->StepDone(record);
    }
    return absl::OkStatus();
  }

  struct AnswerOf {
    uint64_t request;
    int index;
  };
  struct Loss {
    absl::Time since;
    absl::Status why;
  };

  void NoteBegin(const AnswerOf& answer, const SequenceSlice& slice,
                 absl::Time now) {
    LiveRequest& live = *requests_.at(answer.request).request;
    live.Scheduled(answer.index, slice.start, now);
    if (metrics_ != nullptr && answer.index == 0) {
      metrics_->PrefixLookup(slice.begins->prompt_tokens, slice.start);
    }
  }

  void Deliver(SequenceUpdate update, absl::Time now) {
    const uint64_t sequence = update.sequence.value;
    const auto found = answer_of_.find(sequence);
    if (found == answer_of_.end()) return;  // ended meanwhile
    const AnswerOf answer = found->second;
    LiveRequest& live = *requests_.at(answer.request).request;
    const bool went_on = update.token.has_value();
    if (live.Take(answer.index, std::move(update), now)) {
      Forget(answer.request, answer.index, now);
    } else if (went_on) {
      AskForMask(live, answer.index, sequence);
    }
  }

  // To be called once for each token: a second mask for the same one would let
  // the scheduler plan a draw that is under way again.
  void AskForMask(const LiveRequest& live, int index, uint64_t sequence) {
    const OutputForm* const form = live.form(index);
    if (form == nullptr) return;
    const PartKind kind = live.kind(index);
    if (auto mask = form->QuickMask(kind)) {
      scheduler_.SetMask(SequenceId{sequence}, std::move(mask));
      return;
    }
    masks_.Ask(sequence, [form = *form, kind] { return form.Mask(kind); });
    masks_asked_ = true;
  }

  // Sets the masks that have been made since.
  void TakeMasks() {
    if (!masks_asked_) return;
    for (MaskMaker::Made& made : masks_.Take(kMaskPatience)) {
      if (made.mask.ok()) {
        scheduler_.SetMask(SequenceId{made.sequence}, *std::move(made.mask));
        continue;
      }
      const auto found = answer_of_.find(made.sequence);
      if (found == answer_of_.end()) continue;
      const AnswerOf answer = found->second;
      const absl::Time now = absl::Now();
      requests_.at(answer.request)
          .request->End(answer.index, FinishReason::kError, made.mask.status(),
                        now);
      Forget(answer.request, answer.index, now);
    }
  }

  // Answer `index` of `request` has ended.
  void Forget(uint64_t request, int index, absl::Time now) {
    const auto found = requests_.find(request);
    const uint64_t sequence = found->second.first_sequence + index;
    scheduler_.Cancel(SequenceId{sequence});
    answer_of_.erase(sequence);
    NoteAnswerEnd(now);
    if (found->second.request->unfinished() > 0) return;
    deadlines_.erase({found->second.request->deadline(), request});
    requests_.erase(found);
  }

  void NoteAnswerEnd(absl::Time now) {
    const absl::Duration since = now - last_answer_end_;
    last_answer_end_ = now;
    const std::lock_guard<std::mutex> lock(mutex_);
    answer_interval_ =
        answer_interval_ == absl::ZeroDuration()
            ? std::min(since, absl::Seconds(1))
            : answer_interval_ * 0.9 + std::min(since, absl::Seconds(10)) * 0.1;
  }

  // Waits until there is something to do: a command, a deadline, the time for
  // the next step; not at all while steps run. False: the engine ends.
  bool TakeCommands(bool something) {
    std::deque<Incoming> incoming;
    std::vector<uint64_t> cancelled;
    bool end_all = false;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto commanded = [this] {
        return !incoming_.empty() || !cancelled_.empty() || end_all_ ||
               stopping_ || masks_ready_;
      };
      if (loss_.has_value() && !commanded()) {
        idle_ = requests_.empty();
        if (idle_) idle_changed_.notify_all();
        wake_.wait_for(lock, absl::ToChronoMilliseconds(kResumeInterval),
                       commanded);
      } else if (in_flight_.empty() && !something && !commanded()) {
        const bool idle = requests_.empty();
        idle_ = idle;
        if (idle) idle_changed_.notify_all();
        // Requests that nothing can be planned for wait for their deadlines.
        if (idle || deadlines_.empty() ||
            deadlines_.begin()->first == absl::InfiniteFuture()) {
          wake_.wait(lock, commanded);
        } else {
          wake_.wait_until(lock, absl::ToChronoTime(deadlines_.begin()->first),
                           commanded);
        }
      } else if (WaitsForNextStart()) {
        wake_.wait_until(lock, absl::ToChronoTime(NextStart()), commanded);
      }
      if (stopping_) return false;
      idle_ = false;
      masks_ready_ = false;
      std::swap(incoming, incoming_);
      std::swap(cancelled, cancelled_);
      end_all = std::exchange(end_all_, false);
      waiting_ += std::exchange(incoming_answers_, 0);
    }
    const absl::Time now = absl::Now();
    for (Incoming& one : incoming) Admit(std::move(one));
    for (const uint64_t id : cancelled) {
      EndRequest(id, FinishReason::kCancelled,
                 absl::CancelledError("the request was cancelled"), now);
    }
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      EndRequest(deadlines_.begin()->second, FinishReason::kError,
                 absl::DeadlineExceededError(
                     "the request's time is over; its answer is cut off"),
                 now);
    }
    if (end_all) {
      EndAll(absl::UnavailableError(
          "the server shut down before the answer ended"));
    }
    return true;
  }

  // Only the hand-over of one more step is due, and not yet.
  bool WaitsForNextStart() const {
    return !failed_ && executor_->stages() == 1 && in_flight_.size() == 1 &&
           NextStart() > absl::Now();
  }

  void Admit(Incoming incoming) {
    LiveRequest& live = *incoming.request;
    const uint64_t first = next_sequence_;
    next_sequence_ += live.answers();
    deadlines_.insert({live.deadline(), incoming.id});
    for (int i = 0; i < live.answers(); ++i) {
      const SequenceId id{first + i};
      SequenceRequest sequence = live.Sequence(i);
      if (i > 0) sequence.sibling = SequenceId{first};
      scheduler_.Add(id, std::move(sequence));
      answer_of_[id.value] = {incoming.id, i};
    }
    requests_[incoming.id] = {std::move(incoming.request), first};
    for (int i = 0; i < live.answers(); ++i) AskForMask(live, i, first + i);
  }

  void EndRequest(uint64_t id, FinishReason finish, const absl::Status& status,
                  absl::Time now) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    Live live = std::move(found->second);
    requests_.erase(found);
    deadlines_.erase({live.request->deadline(), id});
    for (int i = 0; i < live.request->answers(); ++i) {
      scheduler_.Cancel(SequenceId{live.first_sequence + i});
      answer_of_.erase(live.first_sequence + i);
    }
    live.request->EndAll(finish, status, now);
  }

  void EndAll(const absl::Status& status) {
    while (!requests_.empty()) {
      EndRequest(requests_.begin()->first, FinishReason::kError, status,
                 absl::Now());
    }
  }

  // Nothing can run any more.
  void Fail(absl::Status status) {
    failed_ = true;
    loss_.reset();
    std::deque<Incoming> incoming;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      health_ = absl::InternalError(status.message());
      refusal_ = absl::UnavailableError(
          absl::StrCat("the model can no longer run: ", status.message()));
      std::swap(incoming, incoming_);
      incoming_answers_ = 0;
    }
    in_flight_.clear();
    EndAll(status);
    for (const Incoming& one : incoming) {
      one.request->EndAll(FinishReason::kError, status, absl::Now());
    }
    ShowQueue();
  }

  // Tells Submit() and the metrics how things stand.
  void ShowQueue() {
    const SchedulerStats stats = scheduler_.stats();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_ = stats.waiting;
    }
    if (metrics_ == nullptr) return;
    const auto pages = [](const PoolUse& use) {
      return PoolPages{use.held, use.cached, use.blank};
    };
    EngineState state;
    state.running = stats.running;
    state.waiting = stats.waiting;
    state.sliding = pages(stats.sliding);
    state.global = pages(stats.global);
    metrics_->SetState(state);
  }

  Executor* const executor_;
  const ModelConfig* const model_;
  const Tokenizer* const tokenizer_;
  const EngineLimits limits_;
  ServingMetrics* const metrics_;
  std::optional<OutputForms> forms_;

  // Of the engine's thread; Check() alone is asked from others.
  Scheduler scheduler_;
  absl::btree_map<uint64_t, Live> requests_;
  absl::flat_hash_map<uint64_t, AnswerOf> answer_of_;  // by sequence
  std::set<std::pair<absl::Time, uint64_t>> deadlines_;
  std::deque<StepInFlight> in_flight_;
  StepClock clock_;
  absl::Time last_finish_ = absl::InfinitePast();
  absl::Time last_answer_end_ = absl::Now();
  uint64_t next_sequence_ = 1;
  std::optional<Loss> loss_;  // while there are no ranks
  int vain_recoveries_ = 0;   // since the last step that finished
  bool failed_ = false;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_changed_;
  std::deque<Incoming> incoming_;
  int incoming_answers_ = 0;
  std::vector<uint64_t> cancelled_;
  int waiting_ = 0;                 // answers taken in, not yet running
  absl::Duration answer_interval_;  // between ends of answers
  uint64_t next_id_ = 1;
  bool idle_ = false;
  bool draining_ = false;
  bool end_all_ = false;
  bool stopping_ = false;
  bool masks_ready_ = false;
  absl::Status health_;
  absl::Status refusal_;

  bool masks_asked_ = false;  // ever; of the engine's thread
  MaskMaker masks_{[this] {
    const std::lock_guard<std::mutex> lock(mutex_);
    masks_ready_ = true;
    wake_.notify_all();
  }};

  std::thread thread_;  // last: uses all of the above
};

}  // namespace

std::unique_ptr<Engine> Engine::Create(Executor* executor,
                                       const ModelConfig* model,
                                       const Tokenizer* tokenizer,
                                       const EngineLimits& limits,
                                       ServingMetrics* metrics) {
  return std::make_unique<EngineImpl>(executor, model, tokenizer, limits,
                                      metrics);
}

}  // namespace facet
